// Counts the rows of a batch by what they predict for their label. Each count is two words, the low one first.

struct Parameters {
    rows: u32,
    zero: u32,
    classes: u32,
    ignores: u32,
    ignore_index: i32,
    // A label is among the first of a row if its rank is less than this.
    top_k: u32,
    // Whether to count each label with each prediction, too.
    matrix: u32,
    predictions_base: u32,
    labels_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
// For each row the class that it predicts and the rank of its label.
@group(0) @binding(1) var<storage, read> predictions: array<u32>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
// The rows that count, the right ones, those with their label among the first, the ignored and the invalid ones; then
// the matrix, a row for each label.
@group(0) @binding(3) var<storage, read_write> counts: array<atomic<u32>>;

const TOTALS: u32 = 5u;

var<workgroup> totals: array<atomic<u32>, TOTALS>;

fn count(place: u32, rows: u32) {
    let before = atomicAdd(&counts[2u * place], rows);
    if (before > 0xffffffffu - rows) {
        atomicAdd(&counts[2u * place + 1u], 1u);
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    if (local < TOTALS) {
        atomicStore(&totals[local], 0u);
    }
    workgroupBarrier();
    let row = (group.y * groups.x + group.x) * 256u + local;
    if (row < parameters.rows) {
        let label = labels[parameters.labels_base + row];
        let predicted = predictions[parameters.predictions_base + 2u * row];
        let rank = predictions[parameters.predictions_base + 2u * row + 1u];
        if (parameters.ignores == 1u && label == parameters.ignore_index) {
            atomicAdd(&totals[3], 1u);
        } else if (u32(label) >= parameters.classes) {
            atomicAdd(&totals[4], 1u);
        } else {
            atomicAdd(&totals[0], 1u);
            atomicAdd(&totals[1], select(0u, 1u, rank == 0u));
            atomicAdd(&totals[2], select(0u, 1u, rank < parameters.top_k));
            if (parameters.matrix == 1u) {
                count(TOTALS + u32(label) * parameters.classes + predicted, 1u);
            }
        }
    }
    workgroupBarrier();
    if (local < TOTALS) {
        count(local, atomicLoad(&totals[local]));
    }
}
