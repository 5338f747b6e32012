// Four logits of an invocation, for row_statistics.wgsl. The kernel defines argument_at(row, i).

// Numbers are read one by one: neighbouring invocations read neighbouring numbers.
const LANE_START: u32 = 1u;

// The distance between the four logits of an invocation.
override FOUR_STEP: u32 = LANES;

// Four arguments that are LANES apart, minus infinity for those beyond the end.
fn arguments_at(row: u32, i: u32, width: u32) -> vec4<f32> {
    let none = -infinity();
    let last = width - 1u;
    let at = vec4<u32>(i, i + LANES, i + 2u * LANES, i + 3u * LANES);
    return vec4<f32>(
        argument_at(row, at.x),
        select(none, argument_at(row, min(at.y, last)), at.y < width),
        select(none, argument_at(row, min(at.z, last)), at.z < width),
        select(none, argument_at(row, min(at.w, last)), at.w < width),
    );
}
