// The first factor of a matrix product, stored as bf16: reads one number, or four.

alias StoredA = u32;
alias FourA = vec2<u32>;

fn place_of_a(index: u32) -> u32 {
    return index / 2u;
}

fn number_of_a(stored: StoredA, index: u32) -> f32 {
    return widen_bf16_one(stored, index);
}

fn four_of_a(stored: FourA) -> vec4<f32> {
    return widen_bf16_four(stored);
}
