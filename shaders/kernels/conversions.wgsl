// Compares the device's conversions of halves with the integer versions in halves.wgsl. Invocation h widens
// the half h, and narrows numbers at that half, between it and the next one, and elsewhere.

// The bits of the conversions that are wrong.
const WIDENING: u32 = 1u;
const NARROWING: u32 = 2u;

@group(0) @binding(0) var<storage, read_write> wrong: atomic<u32>;

fn widens(half: u32) -> bool {
    let expected = widen(vec4<u32>(half)).x;
    let found = unpack2x16float(half | ((half ^ 0x5555u) << 16u)).x;
    let also_found = unpack2x16float((half ^ 0x5555u) | (half << 16u)).y;
    if ((half & 0x7fffu) > 0x7c00u) {
        return is_quiet(bitcast<u32>(found)) && is_quiet(bitcast<u32>(also_found));
    }
    let bits = vec3<u32>(bitcast<u32>(expected), bitcast<u32>(found), bitcast<u32>(also_found));
    return bits.x == bits.y && bits.x == bits.z;
}

// Whether the bits are those of a NaN that arithmetic can result in.
fn is_quiet(bits: u32) -> bool {
    return (bits & 0x7fc00000u) == 0x7fc00000u;
}

fn narrows(bits: u32) -> bool {
    let x = bitcast<f32>(bits);
    let expected = narrow(vec4<f32>(x)).x;
    let found = pack2x16float(vec2<f32>(x, -1.0)) & 0xffffu;
    let also_found = pack2x16float(vec2<f32>(-1.0, x)) >> 16u;
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (found & 0x7e00u) == 0x7e00u && (also_found & 0x7e00u) == 0x7e00u;
    }
    return found == expected && also_found == expected;
}

// The bits of the f32 halfway between a half and the next one away from zero, which may be 2^16.
fn halfway(half: u32) -> u32 {
    let widened = bitcast<u32>(widen(vec4<u32>(half)).x);
    if ((half & 0x7fffu) < 0x400u) {
        // Subnormal halves are multiples of 2^-24.
        let middle = bitcast<u32>((f32(half & 0x7fffu) + 0.5) * 5.9604645e-08);
        return middle | (widened & 0x80000000u);
    }
    return widened + 0x1000u;
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) invocation: vec3<u32>) {
    let half = invocation.x;
    if (!widens(half)) {
        atomicOr(&wrong, WIDENING);
    }
    let middle = halfway(half);
    let near = narrows(bitcast<u32>(widen(vec4<u32>(half)).x))
        && narrows(middle - 1u) && narrows(middle) && narrows(middle + 1u);
    // Subnormal numbers of f32, and numbers of every magnitude.
    if (!near || !narrows(half) || !narrows(half << 16u)) {
        atomicOr(&wrong, NARROWING);
    }
}
