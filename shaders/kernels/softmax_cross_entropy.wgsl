// Softmax and cross-entropy in one: from the logits the loss of each row, y = softmax(z) and
// dE/dz = y * sum t - t, where the composition would divide by a y that may have underflowed.

struct Parameters {
    rows: u32,
    width: u32,
    zero: u32,
    // What the reduction divides by, inverted.
    scale: f32,
    smoothing: f32,
    ignores: u32,
    ignore_index: i32,
    z_base: u32,
    targets_base: u32,
    loss_base: u32,
    y_base: u32,
    dz_base: u32,
}

// Which outputs are wanted; the buffers of the others are not touched.
override WANT_LOSS: bool = true;
override WANT_Y: bool = true;
override WANT_DZ: bool = true;

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> z: array<f32>;
// Binding 2: the targets.
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<storage, read_write> dz: array<f32>;

fn argument_at(row: u32, i: u32) -> f32 {
    return z[parameters.z_base + row + i];
}

fn scaled(d: Parts) -> Parts {
    return d;
}

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
    let row = at.row * parameters.width;
    let counts = inside && row_counts(select(0u, at.row, inside));
    let statistics = row_statistics(row, width, at);
    let log_sum = math_log1p(statistics.rest);

    // The row's loss, sum_k -t_k ln y_k, and the sum of its targets.
    var loss = Sum(0.0, 0.0);
    var mass = Sum(0.0, 0.0);
    for (var i = at.lane; i < width; i = i + LANES) {
        let t = target_at(at.row, i);
        let term = t * (log_sum - (argument_at(row, i) - statistics.maximum));
        loss = add(loss, nan_where(is_nan(t), select(term, 0.0, t == 0.0)));
        mass = add(mass, t);
    }
    let row_loss = reduce_sum(loss.value - loss.lost, at);
    let row_mass = select(reduce_sum(mass.value - mass.lost, at), 1.0, TARGETS_ADD_UP_TO_ONE);
    if (WANT_LOSS && inside && at.lane == 0u) {
        let value = nan_where(statistics.undefined, parameters.scale * row_loss);
        losses[parameters.loss_base + at.row] = select(0.0, value, counts);
    }

    // 1 - y of an element that dominates its row, without the cancellation.
    let others = statistics.rest / (1.0 + statistics.rest);
    for (var i = at.lane; i < width; i = i + LANES) {
        let p = forward(math_difference(argument_at(row, i), statistics.maximum), statistics);
        if (WANT_Y) {
            y[parameters.y_base + row + i] = nan_where(statistics.undefined, p);
        }
        if (WANT_DZ) {
            let t = target_at(at.row, i);
            let error = select(p * row_mass - t, (row_mass - t) - row_mass * others, p > 0.5);
            let undefined = statistics.undefined || is_nan(row_mass);
            let slope = nan_where(undefined, parameters.scale * error);
            dz[parameters.dz_base + row + i] = select(0.0, slope, counts);
        }
    }
}
