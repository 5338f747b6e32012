//! The limits of the processor: a copy, multiply-adds, and the crate gemm alone.

#[path = "../../../measures/machine.rs"]
mod machine;

use common::{Case, FMA_OPERATIONS, Work, numbers};

fn prepare(case: &Case) -> Option<Work> {
    Some(match case {
        &Case::Copy(n) => {
            let from = numbers(0, n, 1.0);
            let mut to = vec![0.0; n];
            Work::new(move |checksum| {
                machine::copy(&from, std::hint::black_box(&mut to));
                if let Some(checksum) = checksum {
                    checksum.add(&to);
                }
            })
        }
        Case::Fma => {
            let operations = machine::multiply_adds(FMA_OPERATIONS) / FMA_OPERATIONS;
            let run = |_: Option<&mut common::Checksum>| {
                machine::multiply_adds(FMA_OPERATIONS);
            };
            Work { operations, ..Work::new(run) }
        }
        &Case::Product(n) => {
            let (a, b) = (numbers(1, n * n, 1.0), numbers(2, n * n, 1.0));
            let mut product = vec![0.0; n * n];
            Work::new(move |checksum| {
                multiply(n, &a, &b, &mut product);
                if let Some(checksum) = checksum {
                    checksum.add(&product);
                }
            })
        }
        _ => return None,
    })
}

fn multiply(n: usize, a: &[f32], b: &[f32], product: &mut [f32]) {
    let threads = gemm::Parallelism::Rayon(0);
    let row = n as isize;
    assert!([a.len(), b.len(), product.len()] == [n * n; 3]);
    // SAFETY: the three matrices have n rows of n.
    unsafe {
        gemm::gemm(
            n,
            n,
            n,
            product.as_mut_ptr(),
            1,
            row,
            false,
            a.as_ptr(),
            1,
            row,
            b.as_ptr(),
            1,
            row,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    common::main(&arguments, prepare);
}
