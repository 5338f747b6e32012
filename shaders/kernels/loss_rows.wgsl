// The loss of each row: what loss(y, t) adds up to.

struct Parameters {
    rows: u32,
    width: u32,
    // Elements in all; the last row may be shorter than the others.
    elements: u32,
    zero: u32,
    // What the reduction divides by, inverted.
    scale: f32,
    smoothing: f32,
    ignores: u32,
    ignore_index: i32,
    y_base: u32,
    targets_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> y: array<f32>;
// Binding 2: the targets.
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let inside = at.row < parameters.rows;
    let start = at.row * parameters.width;
    var sum = Sum(0.0, 0.0);
    if (inside && row_counts(at.row)) {
        let width = min(parameters.width, parameters.elements - start);
        for (var i = at.lane; i < width; i = i + LANES) {
            let out = y[parameters.y_base + start + i];
            let t = target_at(at.row, i);
            sum = add(sum, nan_where(is_nan(out) || is_nan(t), loss(out, t)));
        }
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    if (inside && at.lane == 0u) {
        output[parameters.output_base + at.row] = parameters.scale * total;
    }
}
