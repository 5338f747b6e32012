// Makes a batch: random places of the picture as features, and the colours there. One invocation makes one sample.

struct Frame {
    number: u32,
    samples: u32,
    // The width of the grid whose places are taken in order; 0 for random places.
    grid: u32,
}

@group(0) @binding(0) var<uniform> frame: Frame;
@group(0) @binding(1) var<storage, read_write> features: array<f32>;
@group(0) @binding(2) var<storage, read_write> colours: array<f32>;

// Wellons 2018, "lowbias32".
fn hashed(seed: u32) -> u32 {
    var x = seed;
    x ^= x >> 16u;
    x *= 0x7feb352du;
    x ^= x >> 15u;
    x *= 0x846ca68bu;
    return x ^ (x >> 16u);
}

fn random(seed: u32) -> f32 {
    return f32(hashed(seed) >> 8u) / 16777216.0;
}

// A pattern with edges and slopes, for a place from -1 to 1.
fn colour(place: vec2<f32>) -> vec3<f32> {
    let radius = length(place);
    let angle = atan2(place.y, place.x);
    let spiral = 0.5 + 0.5 * sin(3.0 * angle + 9.0 * radius);
    let ring = smoothstep(0.05, 0.0, abs(radius - 0.75));
    let inside = smoothstep(0.95, 0.9, radius);
    let mixed = mix(vec3<f32>(0.1, 0.2, 0.5), vec3<f32>(0.95, 0.6, 0.15), spiral);
    return mix(vec3<f32>(0.04), mix(mixed, vec3<f32>(1.0), ring), inside);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= frame.samples) {
        return;
    }
    let seed = hashed(frame.number * 747796405u + id.x);
    var place = vec2<f32>(random(seed), random(seed + 1u));
    if (frame.grid > 0u) {
        let cell = vec2<u32>(id.x % frame.grid, id.x / frame.grid);
        place = (vec2<f32>(cell) + 0.5) / f32(frame.grid);
    }
    place = 2.0 * place - 1.0;
    // The place, then sines and cosines of growing frequency.
    let start = id.x * 32u;
    features[start] = place.x;
    features[start + 1u] = place.y;
    for (var i = 0u; i < 15u; i++) {
        let turn = 0.7 * f32(i);
        let along = place.x * cos(turn) + place.y * sin(turn);
        let phase = 1.5 * f32(1u + i / 2u) * along;
        features[start + 2u + 2u * i] = sin(phase);
        features[start + 3u + 2u * i] = cos(phase);
    }
    let target_colour = colour(place);
    colours[id.x * 3u] = target_colour.x;
    colours[id.x * 3u + 1u] = target_colour.y;
    colours[id.x * 3u + 2u] = target_colour.z;
}
