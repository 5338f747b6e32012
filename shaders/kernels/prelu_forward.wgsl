// y = z if z > 0, else weight * z

@group(0) @binding(3) var<storage, read_write> y: array<f32>;

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
    let x = z[parameters.z_base + index];
    let slope = weight_of(index / parameters.width);
    // With a slope of 0, the limit at minus infinity is 0, but the product is NaN.
    let scaled = select(slope * x, 0.0, slope == 0.0);
    let value = select(scaled, x, is_positive(x));
    y[parameters.output_base + index] = nan_where(is_nan(x) || is_nan(slope), value);
}
