// The statistics of a row of arguments. The kernel defines scaled(difference), which applies the temperature.
// row_loops.wgsl or row_held.wgsl defines lane_greatest, lane_terms and lane_excess: what an invocation finds
// in its part of the row.

// The greatest number so far, and the bits of the greatest magnitude: those of a NaN if there is one.
struct Greatest {
    value: f32,
    magnitude: u32,
}

fn greatest_of(a: Greatest, x: f32) -> Greatest {
    let magnitude = bitcast<u32>(x) & 0x7fffffffu;
    return Greatest(select(a.value, x, x > a.value), max(a.magnitude, magnitude));
}

fn greatest_of_four(a: Greatest, x: vec4<f32>) -> Greatest {
    return greatest_of(greatest_of(greatest_of(greatest_of(a, x.x), x.y), x.z), x.w);
}

fn row_maximum(row: u32, width: u32, at: Place) -> f32 {
    let greatest = lane_greatest(row, width, at);
    return reduce_maximum(nan_where(greatest.magnitude > 0x7f800000u, greatest.value), at);
}

fn raised_exponential(x: f32, maximum: f32) -> f32 {
    return raised_exp_difference(scaled(finite_difference(x, maximum)));
}

fn raised_exponentials(x: vec4<f32>, maximum: f32) -> vec4<f32> {
    return vec4<f32>(
        raised_exponential(x.x, maximum),
        raised_exponential(x.y, maximum),
        raised_exponential(x.z, maximum),
        raised_exponential(x.w, maximum),
    );
}

// The sum of all raised exponentials but those of the maximum, and how often the maximum occurs.
struct Terms {
    sum: Sum,
    ties: vec4<f32>,
}

fn add_terms(a: Terms, x: vec4<f32>, raised: vec4<f32>, maximum: f32) -> Terms {
    let tied = x == vec4<f32>(maximum);
    let ties = a.ties + select(vec4<f32>(), vec4<f32>(1.0), tied);
    return Terms(add_four_finite(a.sum, select(raised, vec4<f32>(), tied)), ties);
}

fn row_statistics(row: u32, width: u32, at: Place) -> RowStatistics {
    let maximum = row_maximum(row, width, at);
    let undefined = is_nan(maximum) || is_infinite(maximum);
    if (PROJECTS) {
        return row_threshold(row, width, at, maximum, undefined);
    }

    var terms = Terms();
    if (!undefined) {
        terms = lane_terms(row, width, at, maximum);
    }
    let ties = (terms.ties.x + terms.ties.y) + (terms.ties.z + terms.ties.w);
    let totals = reduce_sums(vec2<f32>(terms.sum.value - terms.sum.lost, ties), at);
    let rest = lowered(totals.x) + (totals.y - 1.0);
    let quotient = reciprocal_1p(split(rest));
    let inverse = opaque(quotient.head + quotient.rest);
    let lost = opaque(quotient.head - inverse) + quotient.rest;
    return RowStatistics(maximum, undefined, rest, Parts(inverse, lost), 0.0, 0.0);
}

var<workgroup> pending: atomic<u32>;
var<workgroup> unsettled: u32;

// Whether the condition holds anywhere in the workgroup. If each invocation has its own row, assumes that it
// does.
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
// those that it keeps. The number of elements shrinks by the factor 1 + r, and the next move of the threshold
// is at most r times this one, as the dropped elements lie within this move of it. Starting from 2^29
// elements, moves become too small for f32 after about 50 rounds.
const ROUNDS: u32 = 64u;

// The sum of the elements' excess over the threshold, and the number of elements above it.
struct Excess {
    sum: Sum,
    count: f32,
}

// For an element above the threshold, its excess and 1; otherwise zeros.
fn excess_of(x: f32, maximum: f32, threshold: f32) -> vec2<f32> {
    let d = scaled(math_difference(x, maximum));
    let excess = opaque(d.high - threshold) + d.low;
    return select(vec2<f32>(), vec2<f32>(excess, 1.0), d.high > threshold);
}

fn add_excess(a: Excess, x: vec4<f32>, maximum: f32, threshold: f32) -> Excess {
    let first = excess_of(x.x, maximum, threshold);
    let second = excess_of(x.y, maximum, threshold);
    let third = excess_of(x.z, maximum, threshold);
    let fourth = excess_of(x.w, maximum, threshold);
    let sum = add_four_finite(a.sum, vec4<f32>(first.x, second.x, third.x, fourth.x));
    return Excess(sum, a.count + ((first.y + second.y) + (third.y + fourth.y)));
}

// Michelot's iteration, written as Newton's method. It starts with the threshold -1, below which no element of
// the support lies. Each round takes the elements above the threshold as the support and moves to the threshold
// of that support, until the support stays the same. The last move removes the rounding error.
fn row_threshold(row: u32, width: u32, at: Place, maximum: f32, undefined: bool) -> RowStatistics {
    var threshold = -1.0;
    var step = 0.0;
    var support = infinity();
    var settled = undefined || width == 0u;
    for (var round = 0u; round < ROUNDS; round = round + 1u) {
        if (!settled) {
            threshold = opaque(threshold + step);
        }
        var found = Excess();
        if (!settled) {
            found = lane_excess(row, width, at, maximum, threshold);
        }
        let totals = reduce_sums(vec2<f32>(found.sum.value - found.sum.lost, found.count), at);
        if (!settled) {
            step = (totals.x - 1.0) / totals.y;
            settled = totals.y >= support;
            support = totals.y;
        }
        if (!anywhere(!settled, at)) {
            break;
        }
    }
    return RowStatistics(maximum, undefined, 0.0, Parts(1.0, 0.0), threshold, step);
}
