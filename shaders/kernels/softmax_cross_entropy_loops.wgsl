// The end of softmax_cross_entropy.wgsl, for use with row_loops.wgsl.

fn finish(row: u32, width: u32, at: Place, loss: RowLoss) {
    for (var i = LANE_START * at.lane; i < width; i = i + 4u * LANES) {
        let logits = arguments_at(row, i, width);
        let p = vec4<f32>(
            p_of(logits.x, loss.statistics),
            p_of(logits.y, loss.statistics),
            p_of(logits.z, loss.statistics),
            p_of(logits.w, loss.statistics),
        );
        finish_four(row, i, width, logits, p, loss);
    }
}

fn p_of(logit: f32, statistics: RowStatistics) -> f32 {
    return softmax_of(math_difference(logit, statistics.maximum), statistics);
}
