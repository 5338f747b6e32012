// The class that each row predicts: the place of its greatest element, the first of several. With WANT_RANK also the
// number of classes that the row prefers to its label: those with a greater element, or with an equal one before it. NaN
// counts as the greatest.

override WANT_RANK: bool = false;

struct Parameters {
    rows: u32,
    width: u32,
    zero: u32,
    z_base: u32,
    labels_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
// For each row the class and, with WANT_RANK, the rank of its label.
@group(0) @binding(3) var<storage, read_write> output: array<u32>;

const LEAST: i32 = -2147483647;

// An integer that grows with the element, the same for 0 and -0, and greatest for NaN.
fn order_of(index: u32) -> i32 {
    let bits = bitcast<i32>(z[parameters.z_base + index]);
    let magnitude = bits & 0x7fffffff;
    let order = select(magnitude, -magnitude, bits < 0);
    return select(order, 0x7fffffff, magnitude > 0x7f800000);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let inside = at.row < parameters.rows;
    let width = select(0u, parameters.width, inside);
    let row = at.row * parameters.width;

    var greatest = LEAST;
    for (var i = at.lane; i < width; i = i + LANES) {
        greatest = max(greatest, order_of(row + i));
    }
    greatest = reduce_greatest(greatest, at);

    var label = 0u;
    var label_order = LEAST;
    if (WANT_RANK && inside) {
        // A label that is no class is beyond the width.
        label = u32(labels[parameters.labels_base + at.row]);
        label_order = order_of(row + min(label, width - 1u));
    }
    // Minus the place of the greatest element.
    var first = LEAST;
    var preferred = 0u;
    for (var i = at.lane; i < width; i = i + LANES) {
        let order = order_of(row + i);
        first = select(first, max(first, -i32(i)), order == greatest);
        let before = order > label_order || (order == label_order && i < label);
        preferred = preferred + select(0u, 1u, before);
    }
    first = reduce_greatest(first, at);
    var rank = 0u;
    if (WANT_RANK) {
        // In halves, whose sums are exact.
        let parts = vec2<f32>(f32(preferred & 0xfffu), f32(preferred >> 12u));
        let sums = reduce_sums(parts, at);
        rank = select(u32(sums.x) + (u32(sums.y) << 12u), parameters.width, label >= width);
    }
    if (inside && at.lane == 0u) {
        let words = select(1u, 2u, WANT_RANK);
        let place = parameters.output_base + at.row * words;
        output[place] = u32(-first);
        if (WANT_RANK) {
            output[place + 1u] = rank;
        }
    }
}
