// The product of each row with its Jacobian or the transpose, from y = g(z / T), without the Jacobian;
// four elements at a time.

fn counts(row: u32, i: u32, width: u32) -> bool {
    return i < width && kept(row + i * parameters.inner);
}

// The greatest output so far, and the vector's element there.
fn greatest_of(a: vec2<f32>, out: f32, v: f32, counts: bool) -> vec2<f32> {
    return select(a, vec2<f32>(out, v), counts && out > a.x);
}

// The vector is taken relative to its element at the greatest output, times a power of two where that keeps
// it finite: no 1 - p is taken from a p that was rounded to 1 then.
struct Shift {
    scale: f32,
    origin: f32,
}

// Numbers below have differences that do not overflow; what is lost of a number that is small enough to be
// lost next to one above is nothing.
fn scale_for(x: f32) -> f32 {
    return select(1.0, 0.25, abs(x) >= 1.2676506e30);
}

fn shift_to(element: f32) -> Shift {
    if (!SHIFTS || !is_finite(element)) {
        return Shift(1.0, 0.0);
    }
    let scale = scale_for(element);
    return Shift(scale, scale * element);
}

fn shifted(v: f32, shift: Shift) -> f32 {
    if (!SHIFTS) {
        return v;
    }
    return opaque(v * shift.scale - shift.origin);
}

// The element's part in the sum along the row. A NaN anywhere is one of the whole row.
fn term_of(out: f32, v: f32, shift: Shift, counts: bool) -> f32 {
    let value = nan_where(is_nan(out) || is_nan(v), term(out, shifted(v, shift)));
    return select(0.0, value, counts);
}

fn support_of(out: f32, counts: bool) -> f32 {
    return select(0.0, 1.0, counts && is_positive(out));
}

fn output_of(out: f32, v: f32, shift: Shift, row: RowTotals, counts: bool) -> f32 {
    var value = product_element(out, shifted(v, shift), row);
    if (SHIFTS) {
        value = select(value, 4.0 * value, shift.scale < 1.0);
    }
    if (SCALED) {
        value = value * parameters.slope;
    }
    return select(0.0, nan_where(is_nan(row.total), value), counts);
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
    var greatest = vec2<f32>(-infinity(), 0.0);
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let out = load_y(row, i, width);
        let v = load_vector(row, i, width);
        greatest = greatest_of(greatest, out.x, v.x, counts(row, i, width));
        greatest = greatest_of(greatest, out.y, v.y, counts(row, i + 1u, width));
        greatest = greatest_of(greatest, out.z, v.z, counts(row, i + 2u, width));
        greatest = greatest_of(greatest, out.w, v.w, counts(row, i + 3u, width));
    }
    greatest = reduce_greatest(greatest, at);
    var shift = shift_to(greatest.y);
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
            term_of(out.x, v.x, shift, x_counts),
            term_of(out.y, v.y, shift, y_counts),
            term_of(out.z, v.z, shift, z_counts),
            term_of(out.w, v.w, shift, w_counts),
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
    if (SHIFTS && shift.scale == 1.0) {
        // So that elements less the total do not overflow either.
        let scale = scale_for(total);
        shift = Shift(scale, scale * shift.origin);
        total = scale * total;
    }
    let totals = totals_of(total, greatest.x, greatest.y);
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let out = load_y(row, i, width);
        let v = load_vector(row, i, width);
        let values = vec4<f32>(
            output_of(out.x, v.x, shift, totals, counts(row, i, width)),
            output_of(out.y, v.y, shift, totals, counts(row, i + 1u, width)),
            output_of(out.z, v.z, shift, totals, counts(row, i + 2u, width)),
            output_of(out.w, v.w, shift, totals, counts(row, i + 3u, width)),
        );
        store_output(row, i, width, values);
    }
}
