//! Matrix products and sums.

use gemm::Parallelism;
use rayon::prelude::*;

use super::parallel::{SERIAL, sum_of};
use super::pointwise;
use crate::activation::Activation;
use crate::backend::{Product, Rows};

/// Multiplications below which other threads would only cost.
const SERIAL_PRODUCT: usize = 1 << 18;

/// `output = activation(op(a) · op(b) + bias)`
pub(super) fn multiply(
    product: Product,
    a: &[f32],
    b: &[f32],
    bias: Option<&[f32]>,
    activation: &Activation,
    output: &mut [f32],
) {
    let Product { rows, inner, columns, .. } = product;
    if inner == 0 {
        output.fill(0.0);
    } else {
        gemm_checked(product, a, b, output);
    }
    if bias.is_none() && *activation == Activation::Identity {
        return;
    }
    let finish = |row: &mut [f32]| {
        if let Some(bias) = bias {
            row.iter_mut().zip(bias).for_each(|(z, b)| *z += b);
        }
        pointwise::forward(activation, row);
    };
    if rows * columns < SERIAL {
        output.chunks_mut(columns.max(1)).for_each(finish);
    } else {
        let rows_per_task = SERIAL.div_ceil(4 * columns.max(1));
        output.par_chunks_mut(columns.max(1)).with_min_len(rows_per_task).for_each(finish);
    }
}

fn gemm_checked(product: Product, a: &[f32], b: &[f32], output: &mut [f32]) {
    let Product { rows, inner, columns, transpose_a, transpose_b } = product;
    assert!(
        a.len() >= rows * inner && b.len() >= inner * columns && output.len() >= rows * columns
    );
    let stride = |length: usize| length as isize;
    let (a_row, a_column) = if transpose_a { (1, stride(rows)) } else { (stride(inner), 1) };
    let (b_row, b_column) = if transpose_b { (1, stride(inner)) } else { (stride(columns), 1) };
    let parallelism = if rows * inner * columns < SERIAL_PRODUCT {
        Parallelism::None
    } else {
        Parallelism::Rayon(0)
    };
    // SAFETY: the slices hold all elements that the strides reach (asserted above), and the output,
    // borrowed mutably, overlaps neither. The crate has no safe interface; a safe loop of our own is
    // ten times slower.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            output.as_mut_ptr(),
            1,
            stride(columns),
            false,
            a.as_ptr(),
            a_column,
            a_row,
            b.as_ptr(),
            b_column,
            b_row,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

pub(super) fn sum(input: &[f32]) -> f32 {
    sum_of(input.len(), |i| input[i]) as f32
}

/// Rows that one partial sum takes in: fixed, so that the result does not depend on the threads.
const ROWS_PER_SUM: usize = 256;

/// The sum over all rows.
pub(super) fn column_sum(input: &[f32], rows: Rows, output: &mut [f32]) {
    let partial = |block: &[f32]| {
        let mut sums = vec![0.0f32; rows.width];
        for row in block.chunks_exact(rows.width) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        sums
    };
    let block = ROWS_PER_SUM * rows.width.max(1);
    let partials: Vec<Vec<f32>> = if input.len() < SERIAL {
        input.chunks(block).map(partial).collect()
    } else {
        input.par_chunks(block).map(partial).collect()
    };
    for (column, output) in output.iter_mut().enumerate() {
        *output = partials.iter().map(|sums| f64::from(sums[column])).sum::<f64>() as f32;
    }
}
