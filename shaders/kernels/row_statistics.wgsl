// The statistics of a row of arguments: arguments_at(row, i, width), four from i on with minus infinity
// for those beyond the end, and scaled(difference) by the temperature are the kernel's.

// The greatest number so far, and the greatest magnitude: of a NaN, where there is one.
struct Greatest {
    value: f32,
    magnitude: u32,
}

fn greatest_of(a: Greatest, x: f32) -> Greatest {
    let magnitude = bitcast<u32>(x) & 0x7fffffffu;
    return Greatest(select(a.value, x, x > a.value), max(a.magnitude, magnitude));
}

fn row_maximum(row: u32, width: u32, at: Place) -> f32 {
    var greatest = Greatest(-infinity(), 0u);
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let x = arguments_at(row, i, width);
        greatest = greatest_of(greatest, x.x);
        greatest = greatest_of(greatest, x.y);
        greatest = greatest_of(greatest, x.z);
        greatest = greatest_of(greatest, x.w);
    }
    return reduce_maximum(nan_where(greatest.magnitude > 0x7f800000u, greatest.value), at);
}

// e^d, raised by 2^24 so that it is not subnormal: some drivers flush those. Nothing for the maximum.
fn raised_exponential(x: f32, maximum: f32) -> f32 {
    let y = exp_difference(scaled(math_difference(x, maximum)), 24);
    return select(y, 0.0, x == maximum);
}

fn row_statistics(row: u32, width: u32, at: Place) -> RowStatistics {
    let maximum = row_maximum(row, width, at);
    let undefined = is_nan(maximum) || is_infinite(maximum);
    if (PROJECTS) {
        return row_threshold(row, width, at, maximum, undefined);
    }

    var sum = Sum(0.0, 0.0);
    var ties = vec4<f32>();
    for (var i = 4u * at.lane; i < width && !undefined; i = i + 4u * LANES) {
        let x = arguments_at(row, i, width);
        ties = ties + select(vec4<f32>(), vec4<f32>(1.0), x == vec4<f32>(maximum));
        let terms = vec4<f32>(
            raised_exponential(x.x, maximum),
            raised_exponential(x.y, maximum),
            raised_exponential(x.z, maximum),
            raised_exponential(x.w, maximum),
        );
        sum = add_four(sum, terms);
    }
    let ties_found = (ties.x + ties.y) + (ties.z + ties.w);
    let totals = reduce_sums(vec2<f32>(sum.value - sum.lost, ties_found), at);
    let rest = totals.x * 5.9604645e-08 + (totals.y - 1.0);
    let quotient = reciprocal_1p(split(rest));
    let inverse = opaque(quotient.head + quotient.rest);
    let lost = opaque(quotient.head - inverse) + quotient.rest;
    return RowStatistics(maximum, undefined, rest, Parts(inverse, lost), 0.0, 0.0);
}

var<workgroup> pending: atomic<u32>;
var<workgroup> unsettled: u32;

// Whether the condition holds anywhere in the workgroup; it may, where each invocation has its own row.
fn anywhere(condition: bool, at: Place) -> bool {
    if (LANES == 1u) {
        return true;
    }
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

// For an element above the threshold by how much, and 1.
fn excess_of(x: f32, maximum: f32, threshold: f32) -> vec2<f32> {
    let d = scaled(math_difference(x, maximum));
    let excess = opaque(d.high - threshold) + d.low;
    return select(vec2<f32>(), vec2<f32>(excess, 1.0), d.high > threshold);
}

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
        for (var i = 4u * at.lane; i < width && !settled; i = i + 4u * LANES) {
            let x = arguments_at(row, i, width);
            let first = excess_of(x.x, maximum, threshold);
            let second = excess_of(x.y, maximum, threshold);
            let third = excess_of(x.z, maximum, threshold);
            let fourth = excess_of(x.w, maximum, threshold);
            sum = add_four(sum, vec4<f32>(first.x, second.x, third.x, fourth.x));
            count = count + ((first.y + second.y) + (third.y + fourth.y));
        }
        let totals = reduce_sums(vec2<f32>(sum.value - sum.lost, count), at);
        let excess = totals.x - 1.0;
        let found = totals.y;
        if (!settled) {
            step = excess / found;
            settled = found >= support;
            support = found;
        }
        if (!anywhere(!settled, at)) {
            break;
        }
    }
    return RowStatistics(maximum, undefined, 0.0, Parts(1.0, 0.0), threshold, step);
}
