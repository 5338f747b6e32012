// The kernel writes f32, four at a time.

alias Output = vec4<f32>;

fn to_output(x: vec4<f32>) -> Output {
    return x;
}
