// The loss of each row: what loss(y, t) adds up to.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let inside = at.row < parameters.rows;
    let start = at.row * parameters.width;
    var sum = Sum(0.0, 0.0);
    if (inside && row_counts(at.row)) {
        let width = min(parameters.width, parameters.elements - start);
        for (var i = at.lane; i < width; i = i + LANES) {
            let out = y[parameters.y_base + start + i];
            let t = target_at(at.row, i);
            sum = add(sum, nan_where(is_nan(out) || is_nan(t), loss(out, t)));
        }
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    if (inside && at.lane == 0u) {
        output[parameters.output_base + at.row] = parameters.scale * total;
    }
}
