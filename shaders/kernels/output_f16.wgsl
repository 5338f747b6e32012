// The kernel writes halves, four at a time.

alias Output = vec2<u32>;

fn to_output(x: vec4<f32>) -> Output {
    return narrow_four(x);
}
