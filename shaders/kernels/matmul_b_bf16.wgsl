// The second factor of a matrix product, stored as bf16: reads one number, or four.

alias StoredB = u32;
alias FourB = vec2<u32>;

fn place_of_b(index: u32) -> u32 {
    return index / 2u;
}

fn number_of_b(stored: StoredB, index: u32) -> f32 {
    return widen_bf16_one(stored, index);
}

fn four_of_b(stored: FourB) -> vec4<f32> {
    return widen_bf16_four(stored);
}
