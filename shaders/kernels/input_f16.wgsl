// What a kernel reads are halves, four at a time.

alias Input = vec2<u32>;

fn from_input(x: Input) -> vec4<f32> {
    return widen(vec4<u32>(x.x & 0xffffu, x.x >> 16u, x.y & 0xffffu, x.y >> 16u));
}
