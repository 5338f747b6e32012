// What softmax_cross_entropy.wgsl reads and writes, number by number.

fn argument_at(row: u32, i: u32) -> f32 {
    if (IN_PLACE) {
        return dz[parameters.dz_base + row + i];
    }
    return z[parameters.z_base + row + i];
}

fn store_y(row: u32, i: u32, width: u32, values: vec4<f32>) {
    let at = parameters.y_base + row + i;
    y[at] = values.x;
    if (i + FOUR_STEP < width) {
        y[at + FOUR_STEP] = values.y;
    }
    if (i + 2u * FOUR_STEP < width) {
        y[at + 2u * FOUR_STEP] = values.z;
    }
    if (i + 3u * FOUR_STEP < width) {
        y[at + 3u * FOUR_STEP] = values.w;
    }
}

fn store_dz(row: u32, i: u32, width: u32, values: vec4<f32>) {
    let at = parameters.dz_base + row + i;
    dz[at] = values.x;
    if (i + FOUR_STEP < width) {
        dz[at + FOUR_STEP] = values.y;
    }
    if (i + 2u * FOUR_STEP < width) {
        dz[at + 2u * FOUR_STEP] = values.z;
    }
    if (i + 3u * FOUR_STEP < width) {
        dz[at + 3u * FOUR_STEP] = values.w;
    }
}
