// Softmax and cross-entropy in one: computes from the logits the loss of each row, y = softmax(z) or its
// logarithm, and dE/dz = p * sum t - t for p = softmax(z). The composition of both would divide by a p that
// may have underflowed.

// Whether y is the logarithm of softmax.
override Y_IS_LOG: bool = false;

// Whether dE/dz overwrites the logits.
override IN_PLACE: bool = false;

// Whether to add up the columns of dE/dz over the rows of each workgroup, too. The sums are written in place
// of y.
override SUM_COLUMNS: bool = false;

// What the outputs of a row depend on besides their own elements.
struct RowLoss {
    // The row, and whether it counts.
    row: u32,
    counts: bool,
    statistics: RowStatistics,
    log_sum: f32,
    scale: f32,
    // The sum of the targets.
    mass: f32,
    // What the z-loss adds to dE/dz, over p.
    z_slope: f32,
}

// -t ln p for a target t of a logit.
fn loss_term(t: f32, logit: f32, maximum: f32, log_sum: f32) -> f32 {
    let term = t * (log_sum - (logit - maximum));
    return nan_where(is_nan(t), select(term, 0.0, t == 0.0));
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
    // If a row has one target, its first invocation computes the loss: it reads the logit before any other
    // invocation writes dE/dz there.
    let label = label_of(at.row);
    let one_target = targets_are_single();
    var label_logit = 0.0;
    if (one_target && at.lane == 0u) {
        label_logit = argument_at(row, select(0u, label, label < width));
    }
    let statistics = row_statistics(row, width, at);

    var scale = 0.0;
    // The weight of the z-loss, c * (ln sum_k e^z_k)^2.
    var coefficient = 0.0;
    if (counts) {
        scale = reduction_scale() * weight_at(at.row, 0u);
        if (parameters.z_loss != 0.0) {
            coefficient = parameters.z_loss * label_weight(at.row);
        }
    }
    // If only that loss needs the logarithm, this invocation alone computes that, too.
    var log_sum = 0.0;
    if (at.lane == 0u || !one_target || Y_IS_LOG || coefficient != 0.0) {
        log_sum = math_log1p(statistics.rest);
    }
    let normalizer = statistics.maximum + log_sum;

    // The row's loss, sum_k -t_k ln p_k, and the sum of its targets.
    var totals = vec2<f32>();
    // scale * totals.x
    var entropy = 0.0;
    if (one_target) {
        if (label < width) {
            let t = target_at(at.row, label);
            totals = vec2<f32>(loss_term(t, label_logit, statistics.maximum, log_sum), t);
            entropy = scale * totals.x;
            if (is_infinite(totals.x)) {
                let distance = opaque(log_sum - (label_logit - statistics.maximum));
                let product = ranged_product(ranged(t), ranged(distance));
                entropy = unranged(ranged_product(ranged(scale), product));
            }
        }
    } else {
        var loss = Sum(0.0, 0.0);
        var mass = Sum(0.0, 0.0);
        for (var i = LANE_START * at.lane; i < width; i = i + 4u * LANES) {
            let logits = arguments_at(row, i, width);
            for (var k = 0u; k < 4u; k = k + 1u) {
                let column = i + k * FOUR_STEP;
                if (column < width) {
                    let t = target_at(at.row, column);
                    loss = add(loss, loss_term(t, logits[k], statistics.maximum, log_sum));
                    mass = add(mass, t);
                }
            }
        }
        totals = reduce_sums(vec2<f32>(loss.value - loss.lost, mass.value - mass.lost), at);
        entropy = scale * totals.x;
    }
    var row_loss = totals.x;
    let unit_mass = TARGETS_ADD_UP_TO_ONE && !has(HAS_CLASS_WEIGHTS);
    let mass = select(totals.y, 1.0, unit_mass);
    var z_slope = 0.0;
    if (coefficient != 0.0) {
        row_loss = row_loss + coefficient * normalizer * normalizer;
        z_slope = 2.0 * coefficient * normalizer;
    }
    if (WANT_LOSS && inside && at.lane == 0u) {
        var scaled = scaled_loss(scale, row_loss);
        if (!is_finite(row_loss) && scale != 0.0) {
            // A loss beyond f32 may be within f32 once it is scaled.
            scaled = entropy;
            if (coefficient != 0.0) {
                scaled = scaled + opaque(scale * coefficient * normalizer) * normalizer;
            }
        }
        let value = nan_where(statistics.undefined, scaled);
        losses[parameters.losses_base + at.row] = select(0.0, value, counts);
    }
    if (WANT_Y || WANT_DZ) {
        let loss = RowLoss(at.row, counts, statistics, log_sum, scale, mass, z_slope);
        finish(row, width, at, loss);
    }
    if (SUM_COLUMNS) {
        storageBarrier();
        sum_columns(group.y * groups.x + group.x, local);
    }
}

// The number of rows that are added up one after the other: more rows would lose more digits.
const FEW: u32 = 16u;

fn sum_columns(group: u32, local: u32) {
    let first = group * (256u / LANES);
    let end = min(first + 256u / LANES, parameters.rows);
    for (var column = TOGETHER * local; column < parameters.width; column = column + 256u * TOGETHER) {
        var sum = Numbers();
        for (var row = first; row < end; row = row + FEW) {
            var part = Numbers();
            for (var r = row; r < min(row + FEW, end); r = r + 1u) {
                part = part + dz[(parameters.dz_base + r * parameters.width + column) / TOGETHER];
            }
            sum = sum + part;
        }
        let at = parameters.y_base + group * parameters.width + column;
        y[at / TOGETHER] = sum;
    }
}

// Writes the outputs of four elements, from their logits and p.
fn finish_four(row: u32, i: u32, width: u32, logits: vec4<f32>, p: vec4<f32>, loss: RowLoss) {
    if (WANT_Y) {
        let values = vec4<f32>(
            y_of(logits.x, p.x, loss),
            y_of(logits.y, p.y, loss),
            y_of(logits.z, p.z, loss),
            y_of(logits.w, p.w, loss),
        );
        store_y(row, i, width, values);
    }
    if (WANT_DZ) {
        // Nothing is stored beyond the end of the row.
        let last = width - 1u;
        let slopes = vec4<f32>(
            slope_of(i, p.x, loss),
            slope_of(min(i + FOUR_STEP, last), p.y, loss),
            slope_of(min(i + 2u * FOUR_STEP, last), p.z, loss),
            slope_of(min(i + 3u * FOUR_STEP, last), p.w, loss),
        );
        store_dz(row, i, width, slopes);
    }
}

// p of an element, or its logarithm.
fn y_of(logit: f32, p: f32, loss: RowLoss) -> f32 {
    let d = math_difference(logit, loss.statistics.maximum);
    let value = select(p, opaque(d.high - loss.log_sum) + d.low, Y_IS_LOG);
    return nan_where(loss.statistics.undefined, value);
}

// dE/dz of an element with this p.
fn slope_of(i: u32, p: f32, loss: RowLoss) -> f32 {
    let t = target_at(loss.row, i);
    // 1 - p of an element that dominates its row, without the cancellation.
    let others = loss.statistics.rest * loss.statistics.inverse.high;
    let error = select(p * loss.mass - t, (loss.mass - t) - loss.mass * others, p > 0.5);
    let slope = loss.scale * (error + loss.z_slope * p);
    let undefined = loss.statistics.undefined || is_nan(loss.mass);
    return select(0.0, nan_where(undefined, slope), loss.counts);
}
