// dx from x and dE/dy: dy * g(gate) in place of the value, and dy * value * g'(gate) in place of the gate.

@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

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
    let upstream = dy[parameters.y_base + index];
    let dvalue = times_value(upstream, forward(gate), gate);
    let slope = derivative(gate);
    let product = opaque(upstream * value);
    var dgate = times_derivative(product, slope, gate);
    if ((is_infinite(product) || is_infinite(slope)) && is_finite(upstream) && is_finite(value)) {
        let factor = ranged_product(ranged(upstream), ranged(value));
        dgate = unranged(ranged_product(factor, derivative_ranged(slope, gate)));
    }
    let undefined = is_nan(gate) || is_nan(upstream);
    dx[parameters.dx_base + at + parameters.value_offset] = nan_where(undefined, dvalue);
    dx[parameters.dx_base + at + parameters.gate_offset] =
        nan_where(undefined || is_nan(value), dgate);
}
