// A mask of 1 and 0 for each element, from a mask of what is kept, one that is added, and the causal one.

@group(0) @binding(1) var<storage, read> kept: array<f32>;
@group(0) @binding(2) var<storage, read> added: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

const HAS_KEPT: u32 = 1u;
const HAS_ADDED: u32 = 2u;
const IS_CAUSAL: u32 = 4u;

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
    let source = source_of(parameters.first + index);
    var keeps = true;
    if ((parameters.kinds & HAS_KEPT) != 0u) {
        keeps = kept[source.kept] != 0.0;
    }
    if ((parameters.kinds & HAS_ADDED) != 0u) {
        keeps = keeps && added[source.added] != -infinity();
    }
    if ((parameters.kinds & IS_CAUSAL) != 0u) {
        keeps = keeps && source.column <= source.row;
    }
    output[parameters.output_base + index] = select(0.0, 1.0, keeps);
}
