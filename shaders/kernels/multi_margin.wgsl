// multi_margin for the label l of each row: w_l / K * sum_{i != l} max(0, margin - z_l + z_i)^p, and
// dE/dz.

override l_p: u32 = 1u;
override l_margin: f32 = 1.0;

// margin - z_l + z_i if that is positive or NaN, else 0.
fn shortfall(z_label: f32, z_i: f32) -> f32 {
    let value = opaque(l_margin - z_label) + z_i;
    return nan_where(is_nan(value), select(0.0, value, value > 0.0));
}

fn hinge_loss(hinge: f32) -> Ranged {
    if (l_p == 1u) {
        return ranged(hinge);
    }
    return ranged_product(ranged(hinge), ranged(hinge));
}

fn hinge_slope(hinge: f32) -> Ranged {
    if (l_p == 1u) {
        return ranged(math_sign(hinge));
    }
    return ranged_power(ranged(hinge), 1);
}

// scale * value, computed from `exact` if the value is beyond f32. A value of 0 gives 0 even if the scale is infinite.
fn scaled(scale: f32, value: f32, exact: Ranged) -> f32 {
    if (is_infinite(value) && scale != 0.0) {
        return unranged(ranged_product(ranged(scale), exact));
    }
    return select(weighted(scale, value), 0.0, value == 0.0 && is_infinite(scale));
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
    var label = 0u;
    var z_label = 0.0;
    var scale = 0.0;
    if (inside) {
        label = label_of(at.row);
        z_label = z[parameters.z_base + row + label];
        let weight = weight_at(at.row, 0u) * label_weight(at.row);
        scale = math_divide(reduction_scale() * weight, f32(parameters.width));
    }

    var loss = Sum(0.0, 0.0);
    // The sum of the slopes of all others. The gradient at the label is minus this.
    var slopes = Sum(0.0, 0.0);
    // Both sums once more, times 2^-96: they may be beyond f32 before they are scaled.
    var lowered_loss = 0.0;
    var lowered_slopes = 0.0;
    for (var i = at.lane; i < width; i = i + LANES) {
        if (i == label) {
            continue;
        }
        let hinge = shortfall(z_label, z[parameters.z_base + row + i]);
        if (l_p == 1u) {
            loss = add(loss, hinge);
            slopes = add(slopes, math_sign(hinge));
        } else {
            loss = add(loss, hinge * hinge);
            slopes = add(slopes, 2.0 * hinge);
        }
        lowered_loss = lowered_loss + unranged(ranged_power(hinge_loss(hinge), -96));
        lowered_slopes = lowered_slopes + unranged(ranged_power(hinge_slope(hinge), -96));
    }
    let totals = reduce_sums(vec2<f32>(loss.value - loss.lost, slopes.value - slopes.lost), at);
    let lowered = reduce_sums(vec2<f32>(lowered_loss, lowered_slopes), at);
    let row_slopes = scaled(scale, totals.y, ranged_power(ranged(lowered.y), 96));
    if (WANT_LOSS && inside && at.lane == 0u) {
        losses[parameters.losses_base + at.row] =
            scaled(scale, totals.x, ranged_power(ranged(lowered.x), 96));
    }
    if (!WANT_DZ) {
        return;
    }
    for (var i = at.lane; i < width; i = i + LANES) {
        let hinge = shortfall(z_label, z[parameters.z_base + row + i]);
        let slope = select(2.0 * hinge, math_sign(hinge), l_p == 1u);
        let value = scaled(scale, slope, hinge_slope(hinge));
        dz[parameters.dz_base + row + i] = select(value, -row_slopes, i == label);
    }
}
