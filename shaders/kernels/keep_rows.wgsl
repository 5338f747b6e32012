// Copies rows, with zeros in place of ignored ones.

@group(0) @binding(2) var<storage, read> input: array<StoredA>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = index_of(group, groups, local);
    if (index >= parameters.elements) {
        return;
    }
    let at = parameters.input_base + index;
    let value = number_of_a(input[place_of_a(at)], at);
    output[parameters.output_base + index] = select(value, 0.0, is_ignored(index));
}
