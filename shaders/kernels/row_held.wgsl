// What row_statistics.wgsl needs from an invocation that has at most eight elements of the row: it reads them
// once, and keeps them and their exponentials in registers. The kernel defines LANE_START and arguments_at, as
// for row_loops.wgsl.

// Four arguments, minus infinity for those beyond the end, and their exponentials times 2^32.
struct Four {
    arguments: vec4<f32>,
    raised: vec4<f32>,
}

var<private> first: Four;
var<private> second: Four;

fn read_four(row: u32, i: u32, width: u32) -> vec4<f32> {
    if (i < width) {
        return arguments_at(row, i, width);
    }
    return vec4<f32>(-infinity());
}

fn begin(row: u32, width: u32, at: Place) {
    first.arguments = read_four(row, LANE_START * at.lane, width);
    second.arguments = read_four(row, LANE_START * at.lane + 4u * LANES, width);
}

fn lane_greatest(row: u32, width: u32, at: Place) -> Greatest {
    let greatest = greatest_of_four(Greatest(-infinity(), 0u), first.arguments);
    return greatest_of_four(greatest, second.arguments);
}

fn lane_terms(row: u32, width: u32, at: Place, maximum: f32) -> Terms {
    first.raised = raised_exponentials(first.arguments, maximum);
    second.raised = raised_exponentials(second.arguments, maximum);
    let terms = add_terms(Terms(), first.arguments, first.raised, maximum);
    return add_terms(terms, second.arguments, second.raised, maximum);
}

fn lane_excess(row: u32, width: u32, at: Place, maximum: f32, threshold: f32) -> Excess {
    let excess = add_excess(Excess(), first.arguments, maximum, threshold);
    return add_excess(excess, second.arguments, maximum, threshold);
}
