// Checks labels that only the device knows. A row whose label is neither a class nor ignored gets the label 0 and the
// weight NaN, which makes its loss and its gradients NaN, and is counted.

struct Parameters {
    rows: u32,
    zero: u32,
    classes: u32,
    ignores: u32,
    ignore_index: i32,
    // Whether the rows have weights; the weight of row r lies at base + r * row.
    weighted: u32,
    weights_row: u32,
    labels_base: u32,
    weights_base: u32,
    valid_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> valid: array<i32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@group(0) @binding(5) var<storage, read_write> invalid: atomic<u32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let row = (group.y * groups.x + group.x) * 256u + local;
    if (row >= parameters.rows) {
        return;
    }
    let label = labels[parameters.labels_base + row];
    let ignored = parameters.ignores == 1u && label == parameters.ignore_index;
    let wrong = !ignored && (label < 0 || u32(label) >= parameters.classes);
    if (wrong) {
        atomicAdd(&invalid, 1u);
    }
    var weight = 1.0;
    if (parameters.weighted == 1u) {
        weight = weights[parameters.weights_base + row * parameters.weights_row];
    }
    valid[parameters.valid_base + row] = select(label, 0, wrong);
    output[parameters.output_base + row] = nan_where(wrong, weight);
}
