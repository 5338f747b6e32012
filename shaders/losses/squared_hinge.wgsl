// squared_hinge: max(0, margin - t y)^2 per element, with the margin 1

fn loss(y: f32, t: f32, margin: f32) -> f32 {
    let shortfall = math_multiply_add(-t, y, margin);
    return select(shortfall * shortfall, 0.0, shortfall < 0.0);
}

fn gradient(y: f32, t: f32, margin: f32) -> f32 {
    let shortfall = math_multiply_add(-t, y, margin);
    return select(0.0, -2.0 * t * shortfall, shortfall > 0.0);
}

// The shortfall, even if it overflows f32.
fn shortfall_ranged(y: f32, t: f32, margin: f32) -> Ranged {
    let shortfall = math_multiply_add(-t, y, margin);
    if (is_finite(shortfall)) {
        return ranged(max(shortfall, 0.0));
    }
    let product = ranged_product(ranged(-t), ranged(y));
    return Ranged(select(product.mantissa, 0.0, product.mantissa < 0.0), product.exponent);
}

fn loss_ranged(loss: f32, y: f32, t: f32, margin: f32) -> Ranged {
    let shortfall = shortfall_ranged(y, t, margin);
    return ranged_product(shortfall, shortfall);
}

fn gradient_ranged(gradient: f32, y: f32, t: f32, margin: f32) -> Ranged {
    return ranged_power(ranged_product(ranged(-t), shortfall_ranged(y, t, margin)), 1);
}
