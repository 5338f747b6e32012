// The kernel reads f32, four at a time.

alias Input = vec4<f32>;

fn from_input(x: Input) -> vec4<f32> {
    return x;
}
