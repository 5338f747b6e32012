// The end of row_forward.wgsl, for use with row_loops.wgsl.

fn finish(row: u32, width: u32, at: Place, statistics: RowStatistics) {
    for (var i = LANE_START * at.lane; i < width; i = i + 4u * LANES) {
        let x = arguments_at(row, i, width);
        let values = vec4<f32>(
            output_of(x.x, statistics),
            output_of(x.y, statistics),
            output_of(x.z, statistics),
            output_of(x.w, statistics),
        );
        store_y(row, i, width, values);
    }
}

fn output_of(x: f32, statistics: RowStatistics) -> f32 {
    let d = scaled(math_difference(x, statistics.maximum));
    return nan_where(statistics.undefined, forward(d, statistics));
}
