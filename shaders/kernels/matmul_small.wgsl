// A small matrix product for adapters that are processors. It has little code, as their drivers compile
// slowly, and the same code for every way in which the factors are stored. Each invocation computes a block
// of 4 x 4. An activation is left to matmul_slices.wgsl.

@group(0) @binding(1) var<storage, read> a: array<StoredA>;
@group(0) @binding(2) var<storage, read> b: array<StoredB>;

fn a_number(index: u32) -> f32 {
    return number_of_a(a[place_of_a(index)], index);
}

fn b_number(index: u32) -> f32 {
    return number_of_b(b[place_of_b(index)], index);
}

// The distances from one row or column to the next, and from one inner place to the next.
fn steps(stride: u32, inner_is_contiguous: bool) -> vec2<u32> {
    return select(vec2<u32>(1u, stride), vec2<u32>(stride, 1u), inner_is_contiguous);
}

@compute @workgroup_size(16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * 16u + local;
    let across = (parameters.columns + 3u) / 4u;
    let row = index / across * 4u;
    let column = index % across * 4u;
    if (row >= parameters.rows) {
        return;
    }
    let slice = group.z;
    let start = slice * parameters.slice;
    let end = min(start + parameters.slice, parameters.inner);

    // Rows and columns beyond the edge are the last row and column.
    let four = vec4<u32>(0u, 1u, 2u, 3u);
    let rows = min(row + four, vec4<u32>(parameters.rows - 1u));
    let columns = min(column + four, vec4<u32>(parameters.columns - 1u));
    let a_steps = steps(parameters.a_stride, parameters.a_transposed == 0u);
    let b_steps = steps(parameters.b_stride, parameters.b_transposed == 1u);
    var a_at = parameters.a_base + rows * a_steps.x + start * a_steps.y;
    var b_at = parameters.b_base + columns * b_steps.x + start * b_steps.y;
    var sums = mat4x4<f32>();
    for (var inner = start; inner < end; inner = inner + 1u) {
        let factors = vec4<f32>(a_number(a_at.x), a_number(a_at.y), a_number(a_at.z), a_number(a_at.w));
        let along = vec4<f32>(b_number(b_at.x), b_number(b_at.y), b_number(b_at.z), b_number(b_at.w));
        sums = mat4x4<f32>(
            sums[0] + factors.x * along,
            sums[1] + factors.y * along,
            sums[2] + factors.z * along,
            sums[3] + factors.w * along,
        );
        a_at = a_at + a_steps.y;
        b_at = b_at + b_steps.y;
    }

    // A loop, so that this is only once in the code for all rows.
    for (var r = 0u; r < 4u; r = r + 1u) {
        let upper = select(sums[0], sums[1], r == 1u);
        store_row(select(upper, select(sums[2], sums[3], r == 3u), r > 1u), row + r, column, slice);
    }
}
