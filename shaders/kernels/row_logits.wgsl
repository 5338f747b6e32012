// What row_statistics.wgsl takes of a kernel, for rows of logits without a temperature: argument_at(row, i),
// a logit, is the kernel's.

// Four arguments from i on; minus infinity beyond the end.
fn arguments_at(row: u32, i: u32, width: u32) -> vec4<f32> {
    let none = -infinity();
    let last = width - 1u;
    return vec4<f32>(
        argument_at(row, i),
        select(none, argument_at(row, min(i + 1u, last)), i + 1u < width),
        select(none, argument_at(row, min(i + 2u, last)), i + 2u < width),
        select(none, argument_at(row, min(i + 3u, last)), i + 3u < width),
    );
}

fn scaled(d: Parts) -> Parts {
    return d;
}
