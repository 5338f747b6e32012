@group(0) @binding(3) var<storage, read> settings: array<f32>;
