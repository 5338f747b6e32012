@group(0) @binding(4) var<storage, read> settings: array<f32>;
