// Used if conversions.wgsl finds that it gives the same results as the integer version.

fn narrow_four(x: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(pack2x16float(x.xy), pack2x16float(x.zw));
}
