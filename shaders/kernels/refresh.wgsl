// Keeps the f32 numbers that round to what a tensor of halves holds, and widens what has changed there since.

struct Parameters {
    vectors: u32,
    zero: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> rounded: array<Input>;
@group(0) @binding(2) var<storage, read_write> exact: array<vec4<f32>>;

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
    let now = from_input(rounded[index]);
    let known = exact[index];
    let again = from_input(to_output(known));
    let same = bitcast<vec4<u32>>(again) == bitcast<vec4<u32>>(now);
    exact[index] = select(now, known, same);
}
