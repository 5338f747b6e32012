// Overwrites ignored rows with zeros.

@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = index_of(group, groups, local);
    if (index < parameters.elements && is_ignored(index)) {
        output[parameters.output_base + index] = 0.0;
    }
}
