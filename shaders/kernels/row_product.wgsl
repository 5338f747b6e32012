// The product of each row with its Jacobian or the transpose, from y = g(z / T), without the Jacobian;
// four elements at a time.

fn counts(row: u32, i: u32, width: u32) -> bool {
    return i < width && kept(row + i * parameters.inner);
}

// The element's part in the sum along the row. A NaN anywhere is one of the whole row.
fn term_of(out: f32, v: f32, counts: bool) -> f32 {
    return select(0.0, nan_where(is_nan(out) || is_nan(v), term(out, v)), counts);
}

fn support_of(out: f32, counts: bool) -> f32 {
    return select(0.0, 1.0, counts && is_positive(out));
}

fn output_of(out: f32, v: f32, total: f32, counts: bool) -> f32 {
    var value = product_element(out, v, total);
    if (SCALED) {
        value = value * parameters.slope;
    }
    return select(0.0, nan_where(is_nan(total), value), counts);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let width = select(0u, parameters.width, at.row < parameters.rows);
    let row = row_start(at.row);
    var sum = Sum(0.0, 0.0);
    var support = 0.0;
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let out = load_y(row, i, width);
        let v = load_vector(row, i, width);
        let x_counts = counts(row, i, width);
        let y_counts = counts(row, i + 1u, width);
        let z_counts = counts(row, i + 2u, width);
        let w_counts = counts(row, i + 3u, width);
        let terms = vec4<f32>(
            term_of(out.x, v.x, x_counts),
            term_of(out.y, v.y, y_counts),
            term_of(out.z, v.z, z_counts),
            term_of(out.w, v.w, w_counts),
        );
        sum = add_four(sum, terms);
        if (PROJECTS) {
            support = support + (support_of(out.x, x_counts) + support_of(out.y, y_counts));
            support = support + (support_of(out.z, z_counts) + support_of(out.w, w_counts));
        }
    }
    var total = reduce_sum(sum.value - sum.lost, at);
    if (PROJECTS) {
        total = total / max(reduce_sum(support, at), 1.0);
    }
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let out = load_y(row, i, width);
        let v = load_vector(row, i, width);
        let values = vec4<f32>(
            output_of(out.x, v.x, total, counts(row, i, width)),
            output_of(out.y, v.y, total, counts(row, i + 1u, width)),
            output_of(out.z, v.z, total, counts(row, i + 2u, width)),
            output_of(out.w, v.w, total, counts(row, i + 3u, width)),
        );
        store_output(row, i, width, values);
    }
}
