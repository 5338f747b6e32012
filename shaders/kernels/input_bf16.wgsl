// The kernel reads numbers of bf16, four at a time.

alias Input = vec2<u32>;

fn from_input(x: Input) -> vec4<f32> {
    return widen_bf16_four(x);
}
