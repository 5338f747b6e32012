// Sums of squares that neither overflow nor vanish. With the biased exponent e of the greatest magnitude, the
// squares (|x| * 2^(128 - e))^2 are added up. The greatest of them is in [4, 16).

// |x|, by its bits.
fn magnitude_of(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0x7fffffffu);
}

// The biased exponent of a magnitude.
fn exponent_of(magnitude: f32) -> i32 {
    return i32(bitcast<u32>(magnitude) >> 23u);
}

// magnitude * 2^(128 - exponent) for a magnitude of at most that exponent.
fn scaled_to(exponent: i32, magnitude: f32) -> f32 {
    // Subnormal numbers are computed from their bits, which are x * 2^149, as some drivers flush them.
    let bits = bitcast<u32>(magnitude);
    let subnormal = f32(bits) * power_of_two(-21 - min(exponent, 100));
    return select(magnitude * power_of_two(128 - exponent), subnormal, bits < 0x00800000u);
}
