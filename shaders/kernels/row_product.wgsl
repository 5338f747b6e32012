// The product of each row with its Jacobian or the transpose of that, from y = g(z / T), four elements at a
// time. The Jacobian itself is never formed.

fn counts(row: u32, i: u32, width: u32) -> bool {
    return i < width && kept(row + i * parameters.inner);
}

// Adds to what has to be known of a row before its sum. The first is the vector's element at the output that
// outweighs all others, or 0; the second is that output, or 0, or the sum of the terms if the kernel shifts.
// Plain sums are good enough here: they have only one addend, or any number near the result will do.
fn add_apart(apart: vec2<f32>, out: f32, v: f32, counts: bool) -> vec2<f32> {
    let outweighs = has_more_weight(out);
    let element = select(0.0, v, outweighs);
    let other = select(select(0.0, out, outweighs), term(out, v), SHIFTS);
    return apart + select(vec2<f32>(), vec2<f32>(element, other), counts);
}

// The vector is taken relative to its element at the output that outweighs all others, so that no 1 - p is
// computed from a p that was rounded to 1. If there is no such output, it is taken relative to about the sum of
// the terms, so that little is subtracted afterwards. It is multiplied by a power of two if that keeps it
// finite.
struct Shift {
    scale: f32,
    origin: f32,
}

// Numbers below this limit have differences that do not overflow. Scaling for the sake of a number above it
// costs nothing: numbers small enough to lose digits by it are lost next to that number anyway.
fn scale_for(x: f32) -> f32 {
    return select(1.0, 0.25, abs(x) >= 1.2676506e30);
}

fn shift_to(origin: f32) -> Shift {
    if (!SHIFTS || !is_finite(origin)) {
        return Shift(1.0, 0.0);
    }
    let scale = scale_for(origin);
    return Shift(scale, scale * origin);
}

fn shifted(v: f32, shift: Shift) -> f32 {
    if (!SHIFTS) {
        return v;
    }
    return opaque(v * shift.scale - shift.origin);
}

// The element's term in the sum along the row. A NaN anywhere makes the whole row NaN.
fn term_of(out: f32, v: f32, shift: Shift, counts: bool) -> f32 {
    let value = nan_where(is_nan(out) || is_nan(v), term(out, shifted(v, shift)));
    return select(0.0, value, counts);
}

fn support_of(out: f32, counts: bool) -> f32 {
    return select(0.0, 1.0, counts && is_positive(out));
}

fn output_of(out: f32, v: f32, shift: Shift, row: RowTotals, counts: bool) -> f32 {
    var value = product_element(out, shifted(v, shift), row);
    if (SHIFTS) {
        value = select(value, 4.0 * value, shift.scale < 1.0);
    }
    if (SCALED) {
        value = value * parameters.slope;
    }
    return select(0.0, nan_where(is_nan(row.total), value), counts);
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let at = place(group, groups, local);
    let width = select(0u, parameters.width, at.row < parameters.rows);
    let row = row_start(at.row);
    var apart = vec2<f32>();
    var support = 0.0;
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let out = load_y(row, i, width);
        let v = load_vector(row, i, width);
        let x_counts = counts(row, i, width);
        let y_counts = counts(row, i + 1u, width);
        let z_counts = counts(row, i + 2u, width);
        let w_counts = counts(row, i + 3u, width);
        apart = add_apart(apart, out.x, v.x, x_counts);
        apart = add_apart(apart, out.y, v.y, y_counts);
        apart = add_apart(apart, out.z, v.z, z_counts);
        apart = add_apart(apart, out.w, v.w, w_counts);
        if (PROJECTS) {
            support = support + (support_of(out.x, x_counts) + support_of(out.y, y_counts));
            support = support + (support_of(out.z, z_counts) + support_of(out.w, w_counts));
        }
    }
    apart = reduce_sums(apart, at);
    if (PROJECTS) {
        support = max(reduce_sum(support, at), 1.0);
    }
    var origin = apart.x;
    if ((bitcast<u32>(origin) & 0x7fffffffu) == 0u) {
        origin = apart.y;
        if (PROJECTS) {
            origin = origin / support;
        }
    }
    var shift = shift_to(origin);
    var sum = Sum(0.0, 0.0);
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let out = load_y(row, i, width);
        let v = load_vector(row, i, width);
        let x_counts = counts(row, i, width);
        let y_counts = counts(row, i + 1u, width);
        let z_counts = counts(row, i + 2u, width);
        let w_counts = counts(row, i + 3u, width);
        let terms = vec4<f32>(
            term_of(out.x, v.x, shift, x_counts),
            term_of(out.y, v.y, shift, y_counts),
            term_of(out.z, v.z, shift, z_counts),
            term_of(out.w, v.w, shift, w_counts),
        );
        sum = add_four(sum, terms);
    }
    var total = reduce_sum(sum.value - sum.lost, at);
    if (PROJECTS) {
        total = total / support;
    }
    if (SHIFTS && shift.scale == 1.0) {
        // Scaled so that elements minus the total do not overflow either.
        let scale = scale_for(total);
        shift = Shift(scale, scale * shift.origin);
        total = scale * total;
    }
    let totals = totals_of(total, apart.y, apart.x);
    for (var i = 4u * at.lane; i < width; i = i + 4u * LANES) {
        let out = load_y(row, i, width);
        let v = load_vector(row, i, width);
        let values = vec4<f32>(
            output_of(out.x, v.x, shift, totals, counts(row, i, width)),
            output_of(out.y, v.y, shift, totals, counts(row, i + 1u, width)),
            output_of(out.z, v.z, shift, totals, counts(row, i + 2u, width)),
            output_of(out.w, v.w, shift, totals, counts(row, i + 3u, width)),
        );
        store_output(row, i, width, values);
    }
}
