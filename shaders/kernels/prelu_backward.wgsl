// dE/dz of prelu, and the sums of dE/dweight, which is dy * z for z <= 0, over segments of rows.

@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dz: array<f32>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    // Here a segment is a row of the workgroup.
    let at = place(group, groups, local);
    let row = at.row / parameters.segments;
    let inside = row * parameters.width < parameters.elements;
    let start = row * parameters.width + at.row % parameters.segments * parameters.segment;
    let row_end = min((row + 1u) * parameters.width, parameters.elements);
    let end = select(0u, min(start + parameters.segment, row_end), inside);
    let slope = weight_of(row);
    var sum = Sum(0.0, 0.0);
    for (var i = start + at.lane; i < end; i = i + LANES) {
        let x = z[parameters.z_base + i];
        let upstream = dy[parameters.dy_base + i];
        let undefined = is_nan(x) || is_nan(upstream);
        // Opaque, so that a product with 0 or 1 is not turned into a selection that loses 0 * infinity.
        let value = upstream * opaque(select(slope, 1.0, is_positive(x)));
        dz[parameters.output_base + i] = nan_where(undefined || is_nan(slope), value);
        sum = add(sum, nan_where(undefined, select(upstream * x, 0.0, is_positive(x))));
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    if (inside && at.lane == 0u) {
        sums[parameters.sums_base + at.row] = total;
    }
}
