// Widens the half with this index, of the two in a word.
fn widen_one(word: u32, index: u32) -> f32 {
    return widen(vec4<u32>((word >> (16u * (index & 1u))) & 0xffffu)).x;
}

fn widen_four(words: vec2<u32>) -> vec4<f32> {
    return widen(vec4<u32>(words.x & 0xffffu, words.x >> 16u, words.y & 0xffffu, words.y >> 16u));
}
