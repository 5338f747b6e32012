// How softmax_cross_entropy.wgsl reads and writes in whole vec4s.

const LANE_START: u32 = 4u;
const FOUR_STEP: u32 = 1u;

fn arguments_at(row: u32, i: u32, width: u32) -> vec4<f32> {
    return four_at(row + i);
}

fn argument_at(row: u32, i: u32) -> f32 {
    return four_at(row + i)[i % 4u];
}

// The vec4 that contains this element.
fn four_at(i: u32) -> vec4<f32> {
    if (IN_PLACE) {
        return dz[(parameters.dz_base + i) / 4u];
    }
    return z[(parameters.z_base + i) / 4u];
}

fn store_y(row: u32, i: u32, width: u32, values: vec4<f32>) {
    y[(parameters.y_base + row + i) / 4u] = values;
}

fn store_dz(row: u32, i: u32, width: u32, values: vec4<f32>) {
    dz[(parameters.dz_base + row + i) / 4u] = values;
}
