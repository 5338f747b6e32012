// y = value * g(gate)

@group(0) @binding(2) var<storage, read_write> y: array<f32>;

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
    let at = place_in_x(index);
    let value = x[parameters.x_base + at + parameters.value_offset];
    let gate = x[parameters.x_base + at + parameters.gate_offset];
    let product = times_value(value, forward(gate), gate);
    y[parameters.y_base + index] = nan_where(is_nan(value) || is_nan(gate), product);
}
