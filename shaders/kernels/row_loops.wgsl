// What row_statistics.wgsl needs from an invocation, computed in loops over its part of the row. The kernel
// defines LANE_START, the distance to the start of the next invocation's part, and arguments_at(row, i, width),
// four arguments of an invocation from i on, with minus infinity for those beyond the end.

fn begin(row: u32, width: u32, at: Place) {}

fn lane_greatest(row: u32, width: u32, at: Place) -> Greatest {
    var greatest = Greatest(-infinity(), 0u);
    for (var i = LANE_START * at.lane; i < width; i = i + 4u * LANES) {
        greatest = greatest_of_four(greatest, arguments_at(row, i, width));
    }
    return greatest;
}

fn lane_terms(row: u32, width: u32, at: Place, maximum: f32) -> Terms {
    var terms = Terms();
    for (var i = LANE_START * at.lane; i < width; i = i + 4u * LANES) {
        let x = arguments_at(row, i, width);
        terms = add_terms(terms, x, raised_exponentials(x, maximum), maximum);
    }
    return terms;
}

fn lane_excess(row: u32, width: u32, at: Place, maximum: f32, threshold: f32) -> Excess {
    var excess = Excess();
    for (var i = LANE_START * at.lane; i < width; i = i + 4u * LANES) {
        excess = add_excess(excess, arguments_at(row, i, width), maximum, threshold);
    }
    return excess;
}
