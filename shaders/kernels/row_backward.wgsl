// dz from y = g(z) and dE/dy along each row: the product with the Jacobian, without the Jacobian.

struct Parameters {
    rows: u32,
    width: u32,
    zero: u32,
    y_base: u32,
    dy_base: u32,
    dz_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dz: array<f32>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let width = select(0u, parameters.width, at.row < parameters.rows);
    let row = at.row * parameters.width;
    var sum = Sum(0.0, 0.0);
    for (var i = at.lane; i < width; i = i + LANES) {
        sum = add(sum, backward_term(y[parameters.y_base + row + i], dy[parameters.dy_base + row + i]));
    }
    let total = reduce_sum(sum.value - sum.lost, at);
    for (var i = at.lane; i < width; i = i + LANES) {
        let out = y[parameters.y_base + row + i];
        let upstream = dy[parameters.dy_base + row + i];
        let poisoned = is_nan(out) || is_nan(upstream) || is_nan(total);
        dz[parameters.dz_base + row + i] = nan_where(poisoned, backward(out, upstream, total));
    }
}
