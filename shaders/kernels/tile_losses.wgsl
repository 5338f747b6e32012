// The loss of each row from the state that its tiles left: sum_k t_k (ln sum_j e^z_j - z_k).

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let row = (group.y * groups.x + group.x) * 256u + local;
    if (row >= parameters.rows) {
        return;
    }
    if (!row_counts(row)) {
        losses[parameters.losses_base + row] = 0.0;
        return;
    }
    let state = load_state(row);
    let log_sum = math_log1p(state.rest);
    let weight = label_weight(row);
    let t = (1.0 - parameters.smoothing) * weight;
    var loss = select(t * (log_sum + (state.maximum - state.label_logit)), 0.0, t == 0.0);
    if (parameters.smoothing > 0.0) {
        let share = parameters.smoothing / f32(parameters.classes);
        loss = loss + share * (log_sum * state.mass + state.spread);
    }
    let undefined = is_nan(state.maximum) || is_infinite(state.maximum);
    let scale = reduction_scale() * weight_at(row, 0u);
    var scaled = scaled_loss(scale, loss);
    if (parameters.z_loss != 0.0) {
        let normalizer = state.maximum + log_sum;
        let coefficient = parameters.z_loss * weight;
        let square = coefficient * normalizer * normalizer;
        scaled = scaled_loss(scale, loss + square);
        if (!is_finite(square) && scale != 0.0) {
            // The z-loss may be beyond f32 before it is scaled.
            scaled = scale * loss + opaque(scale * coefficient * normalizer) * normalizer;
        }
    }
    losses[parameters.losses_base + row] = nan_where(undefined, scaled);
}
