fn narrow_four(x: vec4<f32>) -> vec2<u32> {
    let halves = narrow(x);
    return vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}
