// How row_forward.wgsl goes along a row of which an invocation has at most eight elements: it reads them
// once, and holds on to them and to their exponentials.

// Four arguments, minus infinity for those beyond the end, and their exponentials raised by 2^24.
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
    first.arguments = read_four(row, 4u * at.lane, width);
    second.arguments = read_four(row, 4u * (at.lane + LANES), width);
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

fn output_of(x: f32, raised: f32, statistics: RowStatistics) -> f32 {
    let d = scaled(math_difference(x, statistics.maximum));
    return nan_where(statistics.undefined, forward_held(d, raised, statistics));
}

fn write_four(row: u32, i: u32, width: u32, four: Four, statistics: RowStatistics) {
    if (i < width) {
        let values = vec4<f32>(
            output_of(four.arguments.x, four.raised.x, statistics),
            output_of(four.arguments.y, four.raised.y, statistics),
            output_of(four.arguments.z, four.raised.z, statistics),
            output_of(four.arguments.w, four.raised.w, statistics),
        );
        store_y(row, i, width, values);
    }
}

fn finish(row: u32, width: u32, at: Place, statistics: RowStatistics) {
    write_four(row, 4u * at.lane, width, first, statistics);
    write_four(row, 4u * (at.lane + LANES), width, second, statistics);
}
