// Shared by the kernels of prelu. Rows have width elements, and each has the weight of its channel.

struct Parameters {
    // The number of elements in all; the last row may be shorter than the others.
    elements: u32,
    width: u32,
    channels: u32,
    zero: u32,
    // The channel of the window's first row; the next row has the next channel.
    first_channel: u32,
    z_base: u32,
    weight_base: u32,
    dy_base: u32,
    output_base: u32,
    // Rows are added up in segments: the number of elements of a segment, and of segments in a row.
    segment: u32,
    segments: u32,
    sums_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;

fn weight_of(row: u32) -> f32 {
    let channel = (parameters.first_channel + row) % parameters.channels;
    return weight[parameters.weight_base + channel];
}
