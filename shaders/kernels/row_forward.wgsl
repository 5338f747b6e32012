// y = g(z / T) along each row, four elements at a time. row_forward_loops.wgsl or row_forward_held.wgsl is the
// rest of the kernel.

// Each invocation has groups of four neighbours.
const LANE_START: u32 = 4u;

// Four arguments: minus infinity for elements that the mask leaves out or that are beyond the end of the row.
fn arguments_at(row: u32, i: u32, width: u32) -> vec4<f32> {
    let values = load_z(row, i, width);
    return vec4<f32>(
        argument_of(values.x, row, i, width),
        argument_of(values.y, row, i + 1u, width),
        argument_of(values.z, row, i + 2u, width),
        argument_of(values.w, row, i + 3u, width),
    );
}

fn argument_of(value: f32, row: u32, i: u32, width: u32) -> f32 {
    var x = argument(value);
    if (SCALED) {
        x = x * parameters.prescale;
    }
    return select(-infinity(), x, i < width && kept(row + i * parameters.inner));
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
    // Every invocation takes part in the reductions. One beyond the last row has nothing to add.
    let width = select(0u, parameters.width, at.row < parameters.rows);
    let row = row_start(at.row);
    begin(row, width, at);
    finish(row, width, at, row_statistics(row, width, at));
}
