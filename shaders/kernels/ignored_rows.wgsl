// Shared by the kernels that leave out ignored rows of a batch: rows with one particular label.

struct Parameters {
    // The number of elements of the window, and of a row.
    elements: u32,
    width: u32,
    // The column of the window's first element. Its row is that of the window's first label.
    column: u32,
    ignore_index: i32,
    labels_base: u32,
    input_base: u32,
    output_base: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;
@group(0) @binding(1) var<storage, read> labels: array<i32>;

fn index_of(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return (group.y * groups.x + group.x) * 256u + local;
}

fn is_ignored(index: u32) -> bool {
    let row = (parameters.column + index) / parameters.width;
    return labels[parameters.labels_base + row] == parameters.ignore_index;
}
