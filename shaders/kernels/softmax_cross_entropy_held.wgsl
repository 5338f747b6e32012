// The end of softmax_cross_entropy.wgsl, from the elements that row_held.wgsl holds.

fn finish_held(row: u32, i: u32, width: u32, four: Four, loss: RowLoss) {
    if (i < width) {
        let p = vec4<f32>(
            raised_softmax_of(four.raised.x, loss.statistics),
            raised_softmax_of(four.raised.y, loss.statistics),
            raised_softmax_of(four.raised.z, loss.statistics),
            raised_softmax_of(four.raised.w, loss.statistics),
        );
        finish_four(row, i, width, four.arguments, p, loss);
    }
}

fn finish(row: u32, width: u32, at: Place, loss: RowLoss) {
    finish_held(row, LANE_START * at.lane, width, first, loss);
    finish_held(row, LANE_START * at.lane + 4u * LANES, width, second, loss);
}
