// The weight of each row in a mean: the row's own weight times the weight of its label, 0 for an ignored row.

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
    var weight = 0.0;
    if (row_counts(row)) {
        weight = weight_at(row, 0u) * label_weight(row);
    }
    losses[parameters.losses_base + row] = weight;
}
