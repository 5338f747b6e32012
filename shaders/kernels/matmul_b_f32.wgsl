// The second factor of a matrix product, stored as f32: reads one number, or four.

alias StoredB = f32;
alias FourB = vec4<f32>;

fn place_of_b(index: u32) -> u32 {
    return index;
}

fn number_of_b(stored: StoredB, index: u32) -> f32 {
    return stored;
}

fn four_of_b(stored: FourB) -> vec4<f32> {
    return stored;
}
