// A step of Adam, in place, with four elements for each invocation:
//   g = gradient + weight_decay * w
//   m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2
//   w = (1 - decoupled_decay) * w - step_size * m / (root_scale * sqrt(v) + epsilon)
// The last two factors hold the bias corrections. adam_host.wgsl or adam_device.wgsl has the factors.

struct Factors {
    weight_decay: f32,
    decoupled_decay: f32,
    // 1 - decoupled_decay
    kept: f32,
    beta1: f32,
    one_minus_beta1: f32,
    beta2: f32,
    one_minus_beta2: f32,
    step_size: f32,
    root_scale: f32,
    epsilon: f32,
}

@group(0) @binding(1) var<storage, read> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> weights: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> first_moments: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> second_moments: array<vec4<f32>>;

struct State {
    weight: f32,
    first: f32,
    second: f32,
}

fn next(gradient: f32, state: State, by: Factors) -> State {
    let weight = state.weight;
    let slope = gradient + part(by.weight_decay, weight);
    let first = part(by.beta1, state.first) + by.one_minus_beta1 * slope;
    let square = opaque(by.one_minus_beta2 * slope) * slope;
    let second = part(by.beta2, state.second) + square;
    let denominator = opaque(math_sqrt(second) * by.root_scale) + by.epsilon;
    // A weight does not move if its gradient was always 0, even with an epsilon of 0 or one that the driver
    // treats as 0, or if the square of its gradient overflowed.
    let stopped = first == 0.0 || is_infinite(second) || is_infinite(denominator);
    let ratio = select(math_divide(first, denominator), 0.0, stopped);
    let step = part(by.step_size, ratio);
    let moved = weight - (part(by.decoupled_decay, weight) + step);
    // The difference is rounded once, unless most of the weight decays or its decay is out of range.
    let rest = by.kept * weight - step;
    let next = select(rest, moved, by.kept >= 0.5 && is_finite(moved));
    let stepped = !is_finite(first) || is_nan(second);
    let undefined = (stepped && by.step_size != 0.0) || is_nan(weight)
        || (is_infinite(weight) && by.kept == 0.0);
    return State(nan_where(undefined, next), first, second);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 256u + lane;
    if (index >= parameters.vectors) {
        return;
    }
    let by = factors();
    let g = gradients[index];
    let w = weights[index];
    let m = first_moments[index];
    let v = second_moments[index];
    let x = next(g.x, State(w.x, m.x, v.x), by);
    let y = next(g.y, State(w.y, m.y, v.y), by);
    let z = next(g.z, State(w.z, m.z, v.z), by);
    let u = next(g.w, State(w.w, m.w, v.w), by);
    weights[index] = vec4<f32>(x.weight, y.weight, z.weight, u.weight);
    first_moments[index] = vec4<f32>(x.first, y.first, z.first, u.first);
    second_moments[index] = vec4<f32>(x.second, y.second, z.second, u.second);
}
