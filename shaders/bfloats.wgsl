// Conversions between bf16, as bits, and f32: bf16 is the upper half of the bits of f32.

// Widens the number with this index, of the two in a word.
fn widen_bf16_one(word: u32, index: u32) -> f32 {
    return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u));
}

fn widen_bf16_four(words: vec2<u32>) -> vec4<f32> {
    let high = words & vec2<u32>(0xffff0000u);
    let low = words << vec2<u32>(16u);
    return bitcast<vec4<f32>>(vec4<u32>(low.x, high.x, low.y, high.y));
}

// Rounds to the nearest, ties to even.
fn narrow_bf16_four(x: vec4<f32>) -> vec2<u32> {
    let bits = bitcast<vec4<u32>>(x);
    let high = bits >> vec4<u32>(16u);
    // A carry goes into the exponent, and from the greatest numbers to infinity.
    let rounded = (bits + vec4<u32>(0x7fffu) + (high & vec4<u32>(1u))) >> vec4<u32>(16u);
    let is_nan = (bits & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    let result = select(rounded, high | vec4<u32>(0x40u), is_nan);
    return vec2<u32>(result.x | (result.y << 16u), result.z | (result.w << 16u));
}
