// The end of row_forward.wgsl, from the elements that row_held.wgsl holds.

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
