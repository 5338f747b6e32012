// Used if conversions.wgsl finds that it gives the same results as the integer version.

fn widen_one(word: u32, index: u32) -> f32 {
    return unpack2x16float(word >> (16u * (index & 1u))).x;
}

fn widen_four(words: vec2<u32>) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
