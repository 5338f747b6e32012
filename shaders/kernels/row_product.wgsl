// The product of each row with its Jacobian or the transpose, from y = g(z / T), without the Jacobian.

@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> vector: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

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
    for (var i = at.lane; i < width; i = i + LANES) {
        let index = row + i * parameters.inner;
        if (kept(index)) {
            let out = y[parameters.input_base + index];
            let v = vector[parameters.vector_base + index];
            // A NaN anywhere is one of the whole row.
            sum = add(sum, nan_where(is_nan(out) || is_nan(v), term(out, v)));
            support = support + select(0.0, 1.0, is_positive(out));
        }
    }
    var total = reduce_sum(sum.value - sum.lost, at);
    if (PROJECTS) {
        total = total / max(reduce_sum(support, at), 1.0);
    }
    for (var i = at.lane; i < width; i = i + LANES) {
        let index = row + i * parameters.inner;
        var value = product_element(y[parameters.input_base + index], vector[parameters.vector_base + index], total);
        if (SCALED) {
            value = value * parameters.slope;
        }
        value = nan_where(is_nan(total), value);
        output[parameters.output_base + index] = select(0.0, value, kept(index));
    }
}
