// dE/dy of a loss, element by element: the gradient of its term, times the scale of the reduction.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + local;
    if (index >= parameters.elements) {
        return;
    }
    let row = index / parameters.width;
    let out = y[parameters.y_base + index];
    let t = target_at(row, index % parameters.width);
    let slope = nan_where(is_nan(out) || is_nan(t), parameters.scale * opaque(gradient(out, t)));
    output[parameters.output_base + index] = select(0.0, slope, row_counts(row));
}
