// A loss that is a sum of terms, with the pointwise activation below it: computes the loss of each row,
// y = g(z) and dE/dz from z in one pass. If a sum is beyond f32, there is a second pass, as the sum may be
// within f32 once it is scaled.

// The factor of the second pass: 2^LOWER, and the same as a number.
const LOWER: i32 = -96;
const LOWERED: f32 = 1.262177448353619e-29;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let inside = at.row < parameters.rows;
    let start = at.row * parameters.width;
    let width = select(0u, min(parameters.width, parameters.elements - start), inside);
    let counts = inside && row_counts(select(0u, at.row, inside));
    let scale = reduction_scale();
    var sum = Sum(0.0, 0.0);
    var plain = 0.0;
    var lowers = false;
    for (var turn = 0u; turn < 2u; turn = turn + 1u) {
        if (turn == 1u) {
            plain = sum.value - sum.lost;
            if (!WANT_LOSS || is_finite(plain)) {
                break;
            }
            lowers = true;
            sum = Sum(0.0, 0.0);
        }
        for (var i = TOGETHER * at.lane; i < width; i = i + TOGETHER * LANES) {
            let arguments = z[(parameters.z_base + start + i) / TOGETHER];
            var terms = Numbers();
            var outs = Numbers();
            var slopes = Numbers();
            // A loop, so that the body is only once in the code, as it can be long.
            for (var k = 0u; k < TOGETHER; k = k + 1u) {
                let argument = part(arguments, k);
                let out = nan_where(is_nan(argument), forward(argument));
                let t = target_at(at.row, i + k);
                let beside = extra_at(at.row, i + k);
                let weight = weight_at(at.row, i + k);
                let takes_part = !is_left_out(at.row, i + k);
                let undefined = is_nan(out) || is_nan(t) || is_nan(beside);
                // Whether the result may be in the range of f32 although intermediate numbers are not.
                let has_value = takes_part && weight != 0.0 && !undefined;
                outs = with_part(outs, k, out);
                if (WANT_LOSS || WANT_TERMS) {
                    let one = opaque(term(argument, out, t, beside));
                    var value = nan_where(undefined, select(0.0, weighted(weight, one), takes_part));
                    var scaled = scale * value;
                    if ((lowers || !is_finite(value)) && has_value) {
                        let exact = ranged_product(ranged(weight), term_ranged(one, argument, out, t, beside));
                        scaled = unranged(ranged_product(ranged(scale), exact));
                        value = select(value, unranged(ranged_power(exact, LOWER)), lowers);
                    }
                    if (counts) {
                        sum = add(sum, value);
                    }
                    terms = with_part(terms, k, select(0.0, scaled, counts));
                }
                if (WANT_DZ) {
                    let factors = slope_factors(argument, out, t, beside);
                    let slope = weighted(weight, opaque(factors.x * opaque(factors.y)));
                    var value = nan_where(undefined, select(0.0, scale * opaque(slope), takes_part));
                    if (!is_finite(value) && has_value) {
                        let exact = ranged_product(ranged(weight), slope_ranged(factors, argument, out, t, beside));
                        value = unranged(ranged_product(ranged(scale), exact));
                    }
                    slopes = with_part(slopes, k, select(0.0, value, counts));
                }
            }
            if (WANT_TERMS) {
                y[(parameters.y_base + start + i) / TOGETHER] = terms;
            }
            if (WANT_Y) {
                y[(parameters.y_base + start + i) / TOGETHER] = outs;
            }
            if (WANT_DZ) {
                dz[(parameters.dz_base + start + i) / TOGETHER] = slopes;
            }
        }
    }
    if (WANT_LOSS) {
        let lowered = select(plain * LOWERED, sum.value - sum.lost, lowers);
        let totals = reduce_sums(vec2<f32>(plain, lowered), at);
        var total = scale * totals.x;
        if (!is_finite(totals.x)) {
            total = unranged(ranged_power(ranged_product(ranged(scale), ranged(totals.y)), -LOWER));
        }
        if (inside && at.lane == 0u) {
            losses[parameters.losses_base + at.row] = select(0.0, total, counts);
        }
    }
}
