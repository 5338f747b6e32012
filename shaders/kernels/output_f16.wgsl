// What a kernel writes are halves, four at a time.

alias Output = vec2<u32>;

fn to_output(x: vec4<f32>) -> Output {
    let halves = narrow(x);
    return vec2<u32>(halves.x | (halves.y << 16u), halves.z | (halves.w << 16u));
}
