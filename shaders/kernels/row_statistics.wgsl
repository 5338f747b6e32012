// The statistics of a row of arguments: argument_at(row, i), and scaled(difference) by the temperature,
// are the kernel's.

fn row_statistics(row: u32, width: u32, at: Place) -> RowStatistics {
    var greatest = -infinity();
    for (var i = at.lane; i < width; i = i + LANES) {
        greatest = greater(greatest, argument_at(row, i));
    }
    let maximum = reduce_maximum(greatest, at);
    let undefined = is_nan(maximum) || is_infinite(maximum);
    if (PROJECTS) {
        return row_threshold(row, width, at, maximum, undefined);
    }

    var sum = Sum(0.0, 0.0);
    var ties = 0.0;
    for (var i = at.lane; i < width; i = i + LANES) {
        let value = argument_at(row, i);
        if (value == maximum) {
            ties = ties + 1.0;
        } else if (!undefined) {
            // Raised by 2^24, so that no term is subnormal: some drivers flush those.
            sum = add(sum, exp_difference(scaled(math_difference(value, maximum)), 24));
        }
    }
    let others = reduce_sum(sum.value - sum.lost, at) * 5.9604645e-08;
    let rest = others + (reduce_sum(ties, at) - 1.0);
    return RowStatistics(maximum, undefined, rest, 0.0, 0.0);
}

var<workgroup> pending: atomic<u32>;
var<workgroup> unsettled: u32;

// Whether the condition holds anywhere in the workgroup.
fn anywhere(condition: bool, at: Place) -> bool {
    if (at.local == 0u) {
        atomicStore(&pending, 0u);
    }
    workgroupBarrier();
    if (condition) {
        atomicStore(&pending, 1u);
    }
    workgroupBarrier();
    if (at.local == 0u) {
        unsettled = atomicLoad(&pending);
    }
    return workgroupUniformLoad(&unsettled) == 1u;
}

// More rounds than Michelot's iteration takes. Let r be the ratio of the elements that a round drops to
// those that it keeps. The elements shrink by 1 + r, and the next move of the threshold is at most r
// times this one, as the dropped lie within this move of it: between 2^29 elements and moves that f32
// still notices, about 50 rounds find room.
const ROUNDS: u32 = 64u;

// Michelot's iteration, written as Newton's method: from the threshold -1, which no element of the
// support lies below, each round takes the elements above the threshold for the support and moves the
// threshold to theirs, until the support stays. The last move takes the error of rounding away.
fn row_threshold(row: u32, width: u32, at: Place, maximum: f32, undefined: bool) -> RowStatistics {
    var threshold = -1.0;
    var step = 0.0;
    var support = infinity();
    var settled = undefined || width == 0u;
    for (var round = 0u; round < ROUNDS; round = round + 1u) {
        if (!settled) {
            threshold = opaque(threshold + step);
        }
        var sum = Sum(0.0, 0.0);
        var count = 0.0;
        for (var i = at.lane; i < width && !settled; i = i + LANES) {
            let d = scaled(math_difference(argument_at(row, i), maximum));
            if (d.high > threshold) {
                sum = add(sum, opaque(d.high - threshold) + d.low);
                count = count + 1.0;
            }
        }
        let excess = reduce_sum(sum.value - sum.lost, at) - 1.0;
        let found = reduce_sum(count, at);
        if (!settled) {
            step = excess / found;
            settled = found >= support;
            support = found;
        }
        if (!anywhere(!settled, at)) {
            break;
        }
    }
    return RowStatistics(maximum, undefined, 0.0, threshold, step);
}
