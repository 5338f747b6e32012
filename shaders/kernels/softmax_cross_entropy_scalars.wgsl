// How softmax_cross_entropy.wgsl reads and writes number by number.

fn argument_at(row: u32, i: u32) -> f32 {
    if (IN_PLACE) {
        return dz[parameters.dz_base + row + i];
    }
    return z[parameters.z_base + row + i];
}

fn store_y(row: u32, i: u32, width: u32, values: vec4<f32>) {
    for (var k = 0u; k < 4u; k = k + 1u) {
        if (i + k * FOUR_STEP < width) {
            y[parameters.y_base + row + i + k * FOUR_STEP] = values[k];
        }
    }
}

fn store_dz(row: u32, i: u32, width: u32, values: vec4<f32>) {
    for (var k = 0u; k < 4u; k = k + 1u) {
        if (i + k * FOUR_STEP < width) {
            dz[parameters.dz_base + row + i + k * FOUR_STEP] = values[k];
        }
    }
}
