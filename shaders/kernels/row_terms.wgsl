// A loss that is a sum of terms, with softmax or softmin below it: computes the loss of each row, y and dE/dz
// from z.
//
// For a loss that takes no logarithms, slopes are by its outputs, a_k = dE/dp_k, relative to the slope of the
// greatest output, whose p may be almost 1: dE/dz_i = p_i (a_i - sum_k p_k a_k). For other losses they are by
// the logits u_k = ln(p_k / (1 - p_k)) of each output alone, e_k = dE/du_k, and 1 - p of the top, the one
// output that is more than 1/2, is the sum of the others. With s_k = e_k / (1 - p_k) and
// r_k = p_k / (1 - p_top):
//     dE/dz_top = e_top - p_top sum_k s_k,   dE/dz_i = s_i - r_i e_top - p_i sum_k s_k,
// with sums over all but the top. So nothing cancels, however far the top is above the others.

fn argument_at(row: u32, i: u32) -> f32 {
    return argument(z[parameters.z_base + row + i]);
}

// What the outputs of a row share.
struct RowTop {
    statistics: RowStatistics,
    log_sum: f32,
    // Whether there is a top, the sum of the other outputs, and its logarithm.
    exists: bool,
    others: f32,
    log_others: f32,
    // The greatest argument below the maximum, and the sum of the exponentials relative to it.
    second: f32,
    sum: f32,
}

fn is_top(x: f32, top: RowTop) -> bool {
    return top.exists && x == top.statistics.maximum;
}

// e^(x - second), and 1 if both are minus infinity.
fn relative(x: f32, second: f32) -> f32 {
    let same = bitcast<u32>(x) == bitcast<u32>(second);
    return select(math_exp_difference(math_difference(x, second)), 1.0, same);
}

fn row_top(row: u32, width: u32, at: Place) -> RowTop {
    let statistics = row_statistics(row, width, at);
    let log_sum = math_log1p(statistics.rest);
    let exists = !statistics.undefined && statistics.rest < 1.0;
    let others = statistics.rest * statistics.inverse.high;
    var top = RowTop(statistics, log_sum, exists, others, 0.0, 0.0, 0.0);
    if (TAKES_LOGARITHMS) {
        var second = -infinity();
        for (var i = at.lane; i < width; i = i + LANES) {
            let x = argument_at(row, i);
            second = select(second, x, x < statistics.maximum && x > second);
        }
        second = reduce_maximum(second, at);
        var sum = Sum(0.0, 0.0);
        for (var i = at.lane; i < width; i = i + LANES) {
            let x = argument_at(row, i);
            sum = add(sum, select(0.0, relative(x, second), x < statistics.maximum));
        }
        top.second = second;
        top.sum = reduce_sum(sum.value - sum.lost, at);
        top.log_others = (second - statistics.maximum) + (math_log(top.sum) - log_sum);
    }
    return top;
}

fn p_of(x: f32, top: RowTop) -> f32 {
    return forward(math_difference(x, top.statistics.maximum), top.statistics);
}

// p / (1 - p_top) of an output other than the top.
fn share_of(x: f32, top: RowTop) -> f32 {
    return math_divide(relative(x, top.second), top.sum);
}

fn forms_at(x: f32, p: f32, top: RowTop) -> Forms {
    let above = is_top(x, top);
    let rest = select(1.0 - p, top.others, above);
    var log = 0.0;
    var log_rest = 0.0;
    if (TAKES_LOGARITHMS) {
        let d = math_difference(x, top.statistics.maximum);
        log = opaque(d.high - top.log_sum) + d.low;
        let below = -math_log1p(math_divide(p, select(rest, 1.0, above)));
        log_rest = select(below, top.log_others, above);
    }
    return Forms(p, rest, log, log_rest, p * rest, rest, p);
}

// The limit that an output is close to. offset_of is the output minus that limit.
fn limit_of(is_top: bool) -> f32 {
    return select(0.0, 1.0, is_top);
}

fn offset_of(y: Forms, is_top: bool) -> f32 {
    return select(y.y, -y.rest, is_top);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let inside = at.row < parameters.rows;
    let width = select(0u, parameters.width, inside);
    let row = at.row * parameters.width;
    let counts = inside && row_counts(select(0u, at.row, inside));
    begin(row, width, at);
    let top = row_top(row, width, at);
    let undefined = top.statistics.undefined;
    let scale = reduction_scale();
    var loss_sum = Sum(0.0, 0.0);
    var slope_sum = Sum(0.0, 0.0);
    // The sum of the slopes of the greatest outputs, and their number.
    var greatest = vec2<f32>();
    for (var i = at.lane; i < width; i = i + LANES) {
        let x = argument_at(row, i);
        let p = nan_where(undefined, p_of(x, top));
        if (WANT_Y) {
            y[parameters.y_base + row + i] = p;
        }
        if (!counts) {
            continue;
        }
        let above = is_top(x, top);
        let out = forms_at(x, p, top);
        let t = target_at(at.row, i);
        let beside = extra_at(at.row, i);
        // An element that has no part in the loss has none whatever the row's weight is.
        let weight = select(weight_at(at.row, i), 0.0, is_left_out(at.row, i));
        let unknown = undefined || is_nan(t) || is_nan(beside);
        if (WANT_LOSS) {
            let value = weighted(weight, opaque(row_term(out, above, t, beside)));
            loss_sum = add(loss_sum, nan_where(unknown, scale * opaque(value)));
        }
        if (WANT_DZ) {
            let slope = weighted(weight, opaque(row_slope(out, above, t, beside)));
            let value = nan_where(unknown, scale * opaque(slope));
            if (TAKES_LOGARITHMS && !above) {
                let part = value / out.rest;
                slope_sum = add(slope_sum, part);
                dz[parameters.dz_base + row + i] = part;
            } else {
                dz[parameters.dz_base + row + i] = value;
            }
            if (x == top.statistics.maximum && (above || !TAKES_LOGARITHMS)) {
                greatest = greatest + vec2<f32>(value, 1.0);
            }
        }
    }
    if (WANT_LOSS) {
        let total = reduce_sum(loss_sum.value - loss_sum.lost, at);
        if (inside && at.lane == 0u) {
            losses[parameters.losses_base + at.row] = select(0.0, total, counts);
        }
    }
    if (!WANT_DZ) {
        return;
    }
    greatest = reduce_sums(greatest, at);
    // e_top, or the slope to which the others are relative.
    var origin = greatest.x;
    if (!TAKES_LOGARITHMS) {
        origin = math_divide(greatest.x, max(greatest.y, 1.0));
        for (var i = at.lane; i < width; i = i + LANES) {
            let slope = opaque(dz[parameters.dz_base + row + i] - origin);
            slope_sum = add(slope_sum, p_of(argument_at(row, i), top) * slope);
        }
    }
    let total = reduce_sum(slope_sum.value - slope_sum.lost, at);
    for (var i = at.lane; i < width; i = i + LANES) {
        let x = argument_at(row, i);
        let p = p_of(x, top);
        let slope = dz[parameters.dz_base + row + i];
        var value = p * (opaque(slope - origin) - total);
        if (TAKES_LOGARITHMS) {
            let from_top = !is_top(x, top) && top.exists;
            value = (slope - select(0.0, share_of(x, top) * origin, from_top)) - p * total;
        }
        // A single output is 1 whatever z is.
        value = select(value, 0.0, width == 1u && !is_nan(value));
        // argument applies the sign of z.
        value = nan_where(undefined, argument(value));
        dz[parameters.dz_base + row + i] = select(0.0, value, counts);
    }
}
