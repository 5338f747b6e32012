// y = g(z / T) along each row.

@group(0) @binding(2) var<storage, read> z: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

fn argument_at(row: u32, i: u32) -> f32 {
    let index = row + i * parameters.inner;
    var x = argument(z[parameters.input_base + index]);
    if (SCALED) {
        x = x * parameters.prescale;
    }
    return select(-infinity(), x, kept(index));
}

fn scaled(d: Parts) -> Parts {
    if (!SCALED) {
        return d;
    }
    let quotient = math_product(d.high, parameters.inverse);
    let low = quotient.low + (d.high * parameters.inverse_lost + d.low * parameters.inverse);
    return Parts(quotient.high, select(low, 0.0, is_infinite(quotient.high)));
}

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
    let row = row_start(at.row);
    let statistics = row_statistics(row, width, at);
    for (var i = at.lane; i < width; i = i + LANES) {
        let d = scaled(math_difference(argument_at(row, i), statistics.maximum));
        let value = nan_where(statistics.undefined, forward(d, statistics));
        y[parameters.output_base + row + i * parameters.inner] = value;
    }
}
