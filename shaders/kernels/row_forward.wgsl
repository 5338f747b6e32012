// y = g(z) along each row, for the activations of the softmax family.

struct Parameters {
    rows: u32,
    width: u32,
    zero: u32,
    z_base: u32,
    y_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    // Every invocation takes part in the reductions; one beyond the last row has nothing to add.
    let width = select(0u, parameters.width, at.row < parameters.rows);
    let row = at.row * parameters.width;
    let statistics = row_statistics(parameters.z_base + row, width, at);
    for (var i = at.lane; i < width; i = i + LANES) {
        let value = forward(z[parameters.z_base + row + i], statistics);
        y[parameters.y_base + row + i] = nan_where(statistics.undefined, value);
    }
}
