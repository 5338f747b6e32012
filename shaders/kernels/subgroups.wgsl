// Finds out whether invocations whose numbers in the workgroup differ in one of the lower bits reach each other
// through subgroups in that order, which row_reductions_subgroups.wgsl relies on.

override SUBGROUP: u32 = 32u;

// The only bit of the result.
const WRONG: u32 = 1u;

@group(0) @binding(0) var<storage, read_write> wrong: atomic<u32>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
    var reaches = true;
    for (var distance = 1u; distance < SUBGROUP; distance = distance * 2u) {
        let other = subgroupShuffleXor(local, distance);
        reaches = reaches && other == (local ^ distance);
    }
    if (!reaches) {
        atomicOr(&wrong, WRONG);
    }
}
