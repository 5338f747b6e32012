// The first factor of a matrix product, stored as f32: reads one number, or four.

alias StoredA = f32;
alias FourA = vec4<f32>;

fn place_of_a(index: u32) -> u32 {
    return index;
}

fn number_of_a(stored: StoredA, index: u32) -> f32 {
    return stored;
}

fn four_of_a(stored: FourA) -> vec4<f32> {
    return stored;
}
