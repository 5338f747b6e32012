// dE/dy of a loss, element by element: the gradient of its term, times the scale of the reduction.

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
    let index = (group.y * groups.x + group.x) * 256u + local;
    if (index >= parameters.elements) {
        return;
    }
    let row = index / parameters.width;
    let out = y[parameters.y_base + index];
    let t = target_at(row, index % parameters.width);
    let slope = nan_where(is_nan(out) || is_nan(t), parameters.scale * opaque(gradient(out, t)));
    output[parameters.output_base + index] = select(0.0, slope, row_counts(row));
}
