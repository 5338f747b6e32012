// The kernel writes numbers of bf16, four at a time.

alias Output = vec2<u32>;

fn to_output(x: vec4<f32>) -> Output {
    return narrow_bf16_four(x);
}
