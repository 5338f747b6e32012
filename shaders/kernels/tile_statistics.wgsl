// The log-sum-exp of rows of logits, tile by tile: each tile merges its own with the state of the tiles before.

fn argument_at(row: u32, i: u32) -> f32 {
    return dz[parameters.dz_base + row + i];
}

fn merge(a: State, b: State) -> State {
    let maximum = greater(a.maximum, b.maximum);
    var rest = b.rest + (1.0 + a.rest) * math_exp_difference(math_difference(a.maximum, b.maximum));
    if (a.maximum == b.maximum) {
        rest = a.rest + (1.0 + b.rest);
    } else if (a.maximum > b.maximum) {
        rest = a.rest + (1.0 + b.rest) * math_exp_difference(math_difference(b.maximum, a.maximum));
    }
    let moved = times(a.mass, maximum - a.maximum) + times(b.mass, maximum - b.maximum);
    let label_logit = a.label_logit + b.label_logit;
    return State(maximum, rest, label_logit, (a.spread + b.spread) + moved, a.mass + b.mass);
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
    let statistics = row_statistics(row, width, at);
    let is_empty = statistics.maximum == -infinity();

    var spread = 0.0;
    var mass = 0.0;
    if (parameters.smoothing > 0.0) {
        var differences = Sum(0.0, 0.0);
        var weights_sum = Sum(0.0, 0.0);
        for (var i = at.lane; i < width; i = i + LANES) {
            let weight = class_weight(parameters.first_column + i);
            let difference = select(statistics.maximum - argument_at(row, i), 0.0, is_empty);
            differences = add(differences, times(weight, difference));
            weights_sum = add(weights_sum, weight);
        }
        let spread_of = differences.value - differences.lost;
        let totals = reduce_sums(vec2<f32>(spread_of, weights_sum.value - weights_sum.lost), at);
        spread = totals.x;
        mass = totals.y;
    }
    if (!inside || at.lane != 0u) {
        return;
    }
    var label_logit = 0.0;
    if (row_counts(at.row)) {
        let label = label_of(at.row);
        if (label >= parameters.first_column && label - parameters.first_column < parameters.width) {
            label_logit = argument_at(row, label - parameters.first_column);
        }
    }
    let rest = select(statistics.rest, -1.0, is_empty);
    let found = State(statistics.maximum, rest, label_logit, spread, mass);
    if (parameters.first_column == 0u) {
        store_state(at.row, found);
    } else {
        store_state(at.row, merge(load_state(at.row), found));
    }
}
