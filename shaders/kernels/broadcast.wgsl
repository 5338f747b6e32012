// Shared by the kernels that repeat tensors over the axes in which they have the length 1.

struct Parameters {
    elements: u32,
    zero: u32,
    // The index of the window's first element in the whole output.
    first: u32,
    // Which tensors there are, as bits.
    kinds: u32,
    scale: f32,
    input_base: u32,
    kept_base: u32,
    added_base: u32,
    output_base: u32,
    // The lengths of the axes, and the strides of both tensors along them: 0 where they are repeated.
    length0: u32,
    length1: u32,
    length2: u32,
    length3: u32,
    length4: u32,
    length5: u32,
    kept0: u32,
    kept1: u32,
    kept2: u32,
    kept3: u32,
    kept4: u32,
    kept5: u32,
    added0: u32,
    added1: u32,
    added2: u32,
    added3: u32,
    added4: u32,
    added5: u32,
}

@group(0) @binding(0) var<uniform> parameters: Parameters;

// Where an element is read in both tensors, and its place along the last two axes.
struct Source {
    kept: u32,
    added: u32,
    row: u32,
    column: u32,
}

fn source_of(element: u32) -> Source {
    var rest = element;
    let column = rest % parameters.length5;
    rest = rest / parameters.length5;
    let row = rest % parameters.length4;
    rest = rest / parameters.length4;
    let third = rest % parameters.length3;
    rest = rest / parameters.length3;
    let second = rest % parameters.length2;
    rest = rest / parameters.length2;
    let first = rest % parameters.length1;
    let outer = rest / parameters.length1;
    let kept = outer * parameters.kept0 + first * parameters.kept1 + second * parameters.kept2
        + third * parameters.kept3 + row * parameters.kept4 + column * parameters.kept5;
    let added = outer * parameters.added0 + first * parameters.added1 + second * parameters.added2
        + third * parameters.added3 + row * parameters.added4 + column * parameters.added5;
    return Source(parameters.kept_base + kept, parameters.added_base + added, row, column);
}
