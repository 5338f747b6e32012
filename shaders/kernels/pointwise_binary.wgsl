// output = apply(left, right), element by element, with four elements for each invocation.
//
// The buffers hold whole vec4s. Elements beyond the length are padding, which is computed and never read.

struct Parameters {
    vectors: u32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> left: array<Input>;
@group(0) @binding(2) var<storage, read> right: array<Input>;
@group(0) @binding(3) var<storage, read_write> output: array<Output>;

fn element(l: f32, r: f32) -> f32 {
    return nan_where(is_nan(l) || is_nan(r), apply(l, r));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + lane;
    if (index >= parameters.vectors) {
        return;
    }
    let l = from_input(left[index]);
    let r = from_input(right[index]);
    let values = vec4<f32>(
        element(l.x, r.x),
        element(l.y, r.y),
        element(l.z, r.z),
        element(l.w, r.w),
    );
    output[index] = to_output(values);
}
