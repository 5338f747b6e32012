// Draws what was to be learned on the left, and what the network has learned on the right.

struct Picture {
    grid: u32,
    // The size of a half in pixels.
    size: u32,
}

@group(0) @binding(0) var<uniform> picture: Picture;
@group(0) @binding(1) var<storage, read> wanted: array<f32>;
@group(0) @binding(2) var<storage, read> learned: array<f32>;

@vertex
fn corner(@builtin(vertex_index) index: u32) -> @builtin(position) vec4<f32> {
    // One triangle that covers everything.
    let place = vec2<f32>(f32((index << 1u) & 2u), f32(index & 2u));
    return vec4<f32>(place * 2.0 - 1.0, 0.0, 1.0);
}

@fragment
fn pixel(@builtin(position) position: vec4<f32>) -> @location(0) vec4<f32> {
    let place = vec2<u32>(position.xy);
    let is_right = place.x >= picture.size;
    let cell = vec2<u32>(place.x % picture.size, place.y) * picture.grid / picture.size;
    let start = 3u * (cell.y * picture.grid + cell.x);
    if (is_right) {
        return vec4<f32>(learned[start], learned[start + 1u], learned[start + 2u], 1.0);
    }
    return vec4<f32>(wanted[start], wanted[start + 1u], wanted[start + 2u], 1.0);
}
