// Conversions between f16, as bits, and f32 by integer arithmetic, independent of how a driver treats halves,
// subnormal numbers and NaN.

fn widen(half: vec4<u32>) -> vec4<f32> {
    let magnitude = half & vec4<u32>(0x7fffu);
    // The exponent of f32 is greater by 112; for infinity and NaN, by twice as much.
    let raised = select(vec4<u32>(0x38000000u), vec4<u32>(0x70000000u), magnitude >= vec4<u32>(0x7c00u));
    let normal = (magnitude << vec4<u32>(13u)) + raised;
    // A multiple of 2^-24, which is a normal number of f32.
    let subnormal = bitcast<vec4<u32>>(vec4<f32>(magnitude) * 5.9604645e-08);
    let bits = select(normal, subnormal, magnitude < vec4<u32>(0x400u));
    return bitcast<vec4<f32>>(bits | ((half & vec4<u32>(0x8000u)) << vec4<u32>(16u)));
}

// Rounds to the nearest, ties to even.
fn narrow(x: vec4<f32>) -> vec4<u32> {
    let bits = bitcast<vec4<u32>>(x);
    let magnitude = bits & vec4<u32>(0x7fffffffu);
    // The exponent of f16 is less by 112, and 13 bits are dropped. A carry goes into the exponent, and from the
    // greatest numbers to infinity.
    let odd = (magnitude >> vec4<u32>(13u)) & vec4<u32>(1u);
    let normal = (magnitude + vec4<u32>(0xc8000fffu) + odd) >> vec4<u32>(13u);
    // Below the least normal number, 2^-14, the results are multiples of 2^-24, which is the spacing of f32 just
    // above 1/2.
    let beside_half = bitcast<vec4<f32>>(magnitude) + vec4<f32>(0.5);
    let subnormal = bitcast<vec4<u32>>(beside_half) - vec4<u32>(0x3f000000u);
    let finite = min(select(normal, subnormal, magnitude < vec4<u32>(0x38800000u)), vec4<u32>(0x7c00u));
    let result = select(finite, vec4<u32>(0x7e00u), magnitude > vec4<u32>(0x7f800000u));
    return result | ((bits >> vec4<u32>(16u)) & vec4<u32>(0x8000u));
}
