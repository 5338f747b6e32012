// The same as by integers, where conversions.wgsl finds that it is.

fn narrow_four(x: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
}
