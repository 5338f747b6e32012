// The Jacobian of each row, from y = g(z / T): output[row, i, j] = dy_i / dz_j. The rows of the Jacobians are
// the rows of this kernel.

@group(0) @binding(2) var<storage, read> y: array<f32>;
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
    let width = select(0u, parameters.width, inside);
    let row = row_start(parameters.first_row + at.row / parameters.width);
    var sum = Sum(0.0, 0.0);
    for (var j = at.lane; j < width; j = j + LANES) {
        let index = row + j * parameters.inner;
        let term = jacobian_term(y[parameters.input_base + index]);
        sum = add(sum, select(0.0, term, kept(index)));
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    let i = at.row % parameters.width;
    let i_index = row + i * parameters.inner;
    for (var j = at.lane; j < width; j = j + LANES) {
        let j_index = row + j * parameters.inner;
        let y_i = y[parameters.input_base + i_index];
        let y_j = y[parameters.input_base + j_index];
        var value = jacobian(y_i, y_j, i == j, total);
        if (SCALED) {
            value = value * parameters.slope;
        }
        value = nan_where(is_nan(y_i) || is_nan(y_j), value);
        let counts = kept(i_index) && kept(j_index);
        output[parameters.output_base + at.row * parameters.width + j] = select(0.0, value, counts);
    }
}
