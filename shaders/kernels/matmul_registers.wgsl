// A matrix product in registers alone, for few rows, and for adapters that are processors, on which workgroup
// memory is as slow as any other and barriers are expensive. Each invocation computes up to 4 x 4 blocks. An
// activation is left to matmul_slices.wgsl, as processors compile slowly and this kernel would have to be
// compiled for each activation.

// The number of 4 x 4 blocks that an invocation computes one below the other and side by side.
override ROW_BLOCKS: u32 = 2u;
override COLUMN_BLOCKS: u32 = 2u;

override GROUP: u32 = 16u;

fn pick(
    i: u32,
    first: mat4x4<f32>,
    second: mat4x4<f32>,
    third: mat4x4<f32>,
    fourth: mat4x4<f32>,
) -> mat4x4<f32> {
    var picked = first;
    if (i == 1u) {
        picked = second;
    } else if (i == 2u) {
        picked = third;
    } else if (i == 3u) {
        picked = fourth;
    }
    return picked;
}

@compute @workgroup_size(GROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    opaque_zero = parameters.zero;
    let index = (group.y * groups.x + group.x) * GROUP + local;
    let across = (parameters.columns + 4u * COLUMN_BLOCKS - 1u) / (4u * COLUMN_BLOCKS);
    let row = index / across * 4u * ROW_BLOCKS;
    let column = index % across * 4u * COLUMN_BLOCKS;
    if (row >= parameters.rows) {
        return;
    }
    let slice = group.z;
    let start = slice * parameters.slice;
    let end = min(start + parameters.slice, parameters.inner);

    var sums00 = mat4x4<f32>();
    var sums01 = mat4x4<f32>();
    var sums02 = mat4x4<f32>();
    var sums03 = mat4x4<f32>();
    var sums10 = mat4x4<f32>();
    var sums11 = mat4x4<f32>();
    var sums12 = mat4x4<f32>();
    var sums13 = mat4x4<f32>();
    var sums20 = mat4x4<f32>();
    var sums21 = mat4x4<f32>();
    var sums22 = mat4x4<f32>();
    var sums23 = mat4x4<f32>();
    var sums30 = mat4x4<f32>();
    var sums31 = mat4x4<f32>();
    var sums32 = mat4x4<f32>();
    var sums33 = mat4x4<f32>();
    for (var inner = start; inner < end; inner = inner + 4u) {
        let b0 = b_block(inner, column);
        var b1 = mat4x4<f32>();
        if (COLUMN_BLOCKS > 1u) {
            b1 = b_block(inner, column + 4u);
        }
        var b2 = mat4x4<f32>();
        if (COLUMN_BLOCKS > 2u) {
            b2 = b_block(inner, column + 8u);
        }
        var b3 = mat4x4<f32>();
        if (COLUMN_BLOCKS > 3u) {
            b3 = b_block(inner, column + 12u);
        }
        let a0 = a_block(row, inner);
        sums00 = add_product(sums00, a0, b0);
        if (COLUMN_BLOCKS > 1u) {
            sums01 = add_product(sums01, a0, b1);
        }
        if (COLUMN_BLOCKS > 2u) {
            sums02 = add_product(sums02, a0, b2);
        }
        if (COLUMN_BLOCKS > 3u) {
            sums03 = add_product(sums03, a0, b3);
        }
        if (ROW_BLOCKS > 1u) {
            let a1 = a_block(row + 4u, inner);
            sums10 = add_product(sums10, a1, b0);
            if (COLUMN_BLOCKS > 1u) {
                sums11 = add_product(sums11, a1, b1);
            }
            if (COLUMN_BLOCKS > 2u) {
                sums12 = add_product(sums12, a1, b2);
            }
            if (COLUMN_BLOCKS > 3u) {
                sums13 = add_product(sums13, a1, b3);
            }
        }
        if (ROW_BLOCKS > 2u) {
            let a2 = a_block(row + 8u, inner);
            sums20 = add_product(sums20, a2, b0);
            if (COLUMN_BLOCKS > 1u) {
                sums21 = add_product(sums21, a2, b1);
            }
            if (COLUMN_BLOCKS > 2u) {
                sums22 = add_product(sums22, a2, b2);
            }
            if (COLUMN_BLOCKS > 3u) {
                sums23 = add_product(sums23, a2, b3);
            }
        }
        if (ROW_BLOCKS > 3u) {
            let a3 = a_block(row + 12u, inner);
            sums30 = add_product(sums30, a3, b0);
            if (COLUMN_BLOCKS > 1u) {
                sums31 = add_product(sums31, a3, b1);
            }
            if (COLUMN_BLOCKS > 2u) {
                sums32 = add_product(sums32, a3, b2);
            }
            if (COLUMN_BLOCKS > 3u) {
                sums33 = add_product(sums33, a3, b3);
            }
        }
    }

    // A loop, so that this is only once in the code for all blocks: drivers for processors compile slowly.
    for (var i = 0u; i < ROW_BLOCKS * COLUMN_BLOCKS; i = i + 1u) {
        let r = i / COLUMN_BLOCKS;
        let c = i % COLUMN_BLOCKS;
        var sums = pick(c, sums00, sums01, sums02, sums03);
        if (r == 1u) {
            sums = pick(c, sums10, sums11, sums12, sums13);
        } else if (r == 2u) {
            sums = pick(c, sums20, sums21, sums22, sums23);
        } else if (r == 3u) {
            sums = pick(c, sums30, sums31, sums32, sums33);
        }
        store_block(sums, row + 4u * r, column + 4u * c, slice);
    }
}
