//! Tests of products and column sums of parts of matrices. Small whole numbers keep every sum exact, so no bit may
//! differ, neither in the part nor beside it.

use std::thread;

use rayon::prelude::*;

use wgrad_formula::formulas::PointwiseFunction;

use crate::backend::{Bias, DeviceKind, Epilogue, Matrix, OpOf, Product, Rows};
use crate::common::narrow_wgpu;
use crate::device::Device;
use crate::device::tensor::Tensor;
use crate::dtype::DType;
use crate::gpu::{Family, GpuBackend, Patch, Policy, Tile, Variant};
use crate::{on_every_device, reference};

fn whole_numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.i32(-4..=4) as f32).collect()
}

/// How a matrix lies in its storage.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: usize,
    /// The number of elements by which a stored row is longer than its part of the matrix.
    beside: usize,
    transposed: bool,
}

/// A matrix that is a part of its storage.
struct Part {
    values: Vec<f32>,
    /// The index of each element in the storage, row-major.
    indices: Vec<usize>,
    offset: usize,
    stride: usize,
    transposed: bool,
}

impl Part {
    fn new(rows: usize, columns: usize, place: Place, seed: u64) -> Self {
        let Place { offset, beside, transposed } = place;
        let (stored_rows, width) = if transposed { (columns, rows) } else { (rows, columns) };
        let stride = width + beside;
        let index = |row: usize, column: usize| {
            let (row, column) = if transposed { (column, row) } else { (row, column) };
            offset + row * stride + column
        };
        Self {
            // The storage may end right after the last element.
            values: whole_numbers(offset + (stored_rows * stride).saturating_sub(beside), seed),
            indices: (0..rows)
                .flat_map(|row| (0..columns).map(move |column| index(row, column)))
                .collect(),
            offset,
            stride,
            transposed,
        }
    }

    fn elements(&self) -> Vec<f64> {
        self.indices.iter().map(|&index| self.values[index].into()).collect()
    }

    fn on(&self, device: &Device) -> Tensor {
        device.tensor(&self.values, [self.values.len()]).unwrap()
    }

    fn of<'a>(&self, tensor: &'a Tensor) -> Matrix<'a> {
        let &Self { offset, stride, transposed, .. } = self;
        Matrix { storage: tensor.storage(), offset, stride, transposed }
    }
}

const WHOLE: Place = Place { offset: 0, beside: 0, transposed: false };

/// Checks one product. With `adds`, it is added to what the output held, with a bias and an activation on top.
fn check(device: &Device, shape: [usize; 3], places: [Place; 3], adds: bool) {
    let [rows, inner, columns] = shape;
    let a = Part::new(rows, inner, places[0], 1);
    let b = Part::new(inner, columns, places[1], 2);
    let output = Part::new(rows, columns, places[2], 3);
    let bias = Part::new(1, columns, Place { offset: 5, ..WHOLE }, 4);
    let mut sums = reference::matmul(&a.elements(), &b.elements(), rows, inner, columns);
    if adds {
        let bias = bias.elements();
        for (i, (sum, old)) in sums.iter_mut().zip(output.elements()).enumerate() {
            *sum = (*sum + old + bias[i % columns]).max(0.0);
        }
    }
    let mut expected = output.values.clone();
    output.indices.iter().zip(sums).for_each(|(&index, sum)| expected[index] = sum as f32);

    let [a_tensor, b_tensor, bias_tensor] = [&a, &b, &bias].map(|part| part.on(device));
    let output_tensor = output.on(device);
    let bias = Bias { storage: bias_tensor.storage(), offset: bias.offset };
    let epilogue = Epilogue { bias: Some(bias), function: PointwiseFunction::Relu };
    let product = Product {
        rows,
        inner,
        columns,
        a: a.of(&a_tensor),
        b: b.of(&b_tensor),
        output: output.of(&output_tensor),
        epilogue: if adds { epilogue } else { Epilogue::NONE },
        accumulate: adds,
    };
    let check = |product: Product<'_>, types: &str| {
        device.run(OpOf::Product(product)).unwrap();
        let found = output_tensor.to_vec().unwrap();
        let wrong = found.iter().zip(&expected).position(|(found, expected)| found != expected);
        assert_eq!(wrong, None, "{shape:?} at {places:?}, adds {adds}, {types}, on {device:?}");
    };
    check(product, "f32");
    let [a_halves, b_halves] =
        [&a_tensor, &b_tensor].map(|tensor| tensor.to_dtype(DType::F16).unwrap());
    output_tensor.write(&output.values).unwrap();
    let product = Product { a: a.of(&a_halves), ..product };
    // Both factors are halves, or only the first.
    check(if adds { product } else { Product { b: b.of(&b_halves), ..product } }, "f16");
}

/// Checks products with each factor transposed or not, both written and added to the output.
fn check_all(device: &Device, shape: [usize; 3], places: [Place; 3]) {
    for bits in 0..8 {
        let mut places = places;
        places[0].transposed = bits & 1 == 1;
        places[1].transposed = bits & 2 == 2;
        check(device, shape, places, bits & 4 == 4);
    }
}

/// The same for factors whose rows begin at multiples of four elements. The bits of a case say whether the first
/// factor is transposed, whether the second is, and whether the product is added to the output.
fn check_in_vectors(
    device: &Device,
    [rows, inner, columns]: [usize; 3],
    cases: impl IntoIterator<Item = usize>,
) {
    for bits in cases {
        let place = |transposed, width: usize| Place {
            offset: 8,
            beside: width.next_multiple_of(4) - width + 4,
            transposed,
        };
        let (a, b) = (bits & 1 == 1, bits & 2 == 2);
        let a = place(a, if a { rows } else { inner });
        let b = place(b, if b { inner } else { columns });
        // The output can be written in whole vec4s, too, if its width is a multiple of four.
        let output = match bits.count_ones() % 2 {
            0 => place(false, columns),
            _ => Place { offset: 3, beside: 1, transposed: false },
        };
        check(device, [rows, inner, columns], [a, b, output], bits & 4 == 4);
    }
}

fn check_column_sum(device: &Device, rows: usize, width: usize, offset: usize, accumulate: bool) {
    let input = whole_numbers(rows * width, 1);
    let output = whole_numbers(offset + width + 3, 2);
    let mut expected = output.clone();
    for (column, expected) in expected[offset..offset + width].iter_mut().enumerate() {
        let sum: f32 = input.iter().skip(column).step_by(width).sum();
        *expected = if accumulate { *expected + sum } else { sum };
    }
    let input = device.tensor(&input, [rows * width]).unwrap();
    let output = device.tensor(&output, [output.len()]).unwrap();
    let (storage, shape) = (output.storage(), Rows { count: rows, width });
    let input = input.storage();
    device
        .run(OpOf::ColumnSum { input, rows: shape, output: storage, offset, accumulate })
        .unwrap();
    let what = format!("{rows} rows of {width} to {offset}, {accumulate}, on {device:?}");
    assert_eq!(output.to_vec().unwrap(), expected, "{what}");
}

/// Every adapter, with this variant for all products that it can compute.
fn devices(variant: Variant) -> Vec<Device> {
    Policy::devices(|kind| Policy { product: Some(variant), ..Policy::of(kind) })
}

/// The kernels for processors and for GPUs, with small and large blocks and with slices.
const VARIANTS: [Variant; 7] = [
    Variant { family: Family::Small, slices: 1 },
    Variant { family: Family::Small, slices: 3 },
    Variant { family: Family::Registers { group: 16, blocks: [4, 4] }, slices: 1 },
    Variant { family: Family::Registers { group: 64, blocks: [1, 3] }, slices: 3 },
    Variant { family: Family::Tiles(Tile::LARGE), slices: 1 },
    Variant { family: Family::Tiles(Tile::SMALL), slices: 4 },
    Variant { family: Family::Tiles(Tile::TALL), slices: 2 },
];

on_every_device! {
    fn parts_of_matrices_are_multiplied_in_place(device) {
        for (i, shape) in [
            [1, 1, 1], [1, 7, 5], [5, 1, 3], [2, 2, 1], [4, 3, 1], [33, 17, 9], [65, 130, 67], [200, 170, 190],
        ].into_iter().enumerate() {
            check_all(device, shape, [WHOLE; 3]);
            let place = |offset, beside| Place { offset, beside, transposed: false };
            check_all(device, shape, [place(i, 3), place(64 + i, 0), place(63, 1)]);
            check_all(device, shape, [place(1000, 0), place(1, 70), place(2, 0)]);
            check_in_vectors(device, shape, 0..8);
        }
    }

    fn empty_products_leave_what_lies_beside_them(device) {
        for shape in [[4, 0, 6], [0, 3, 2], [3, 2, 0], [0, 0, 0], [1, 0, 1]] {
            check_all(device, shape, [WHOLE; 3]);
            check_all(device, shape, [Place { offset: 3, beside: 2, transposed: false }; 3]);
        }
    }

    fn long_sums_are_continued(device) {
        check_all(device, [3, 40_000, 2], [Place { offset: 7, beside: 1, transposed: false }; 3]);
    }

    fn a_product_may_be_added_to_one_of_its_factors(device) {
        let square = Part::new(5, 5, WHOLE, 1);
        let exact = reference::matmul(&square.elements(), &square.elements(), 5, 5, 5);
        for accumulate in [false, true] {
            let tensor = square.on(device);
            let matrix = square.of(&tensor);
            let product = Product {
                rows: 5,
                inner: 5,
                columns: 5,
                a: matrix,
                b: matrix,
                output: matrix,
                epilogue: Epilogue::NONE,
                accumulate,
            };
            device.run(OpOf::Product(product)).unwrap();
            let old = if accumulate { square.elements() } else { vec![0.0; 25] };
            let expected: Vec<f32> = exact.iter().zip(old).map(|(sum, old)| (sum + old) as f32).collect();
            assert_eq!(tensor.to_vec().unwrap(), expected);
        }
    }

    fn column_sums_go_where_they_are_told(device) {
        for rows in [0, 1, 63, 64, 65, 129, 5000] {
            for (width, offset) in [(1, 0), (7, 3), (300, 65), (0, 2)] {
                for accumulate in [false, true] {
                    check_column_sum(device, rows, width, offset, accumulate);
                }
            }
        }
    }

    fn nothing_that_many_threads_add_is_lost(device) {
        let ones = device.tensor(&vec![1.0; 176 * 176], [176, 176]).unwrap();
        let total = device.zeros([176, 176]).unwrap();
        let add = || {
            let (ones, output) = (Matrix::whole(ones.storage(), 176), Matrix::whole(total.storage(), 176));
            let product = Product {
                rows: 176, inner: 176, columns: 176, a: ones, b: ones, output, epilogue: Epilogue::NONE, accumulate: true,
            };
            device.run(OpOf::Product(product)).unwrap();
            total.to_vec().unwrap();
        };
        thread::scope(|scope| {
            scope.spawn(|| (0..20).for_each(|_| add()));
            (0..20).into_par_iter().for_each(|_| add());
        });
        assert_eq!(total.to_vec().unwrap(), vec![40.0 * 176.0; 176 * 176]);
    }
}

#[test]
fn every_kernel_of_the_family_multiplies() {
    let shapes = [[1, 1, 1], [3, 20, 5], [17, 36, 33], [70, 48, 66], [130, 68, 140]];
    for variant in VARIANTS {
        for device in &devices(variant) {
            // Drivers for processors take long to compile kernels with tiles, and all kernels read and write
            // their tiles in the same way.
            if [Tile::LARGE, Tile::SMALL].map(Family::Tiles).contains(&variant.family) {
                shapes.iter().for_each(|&shape| check_in_vectors(device, shape, [0b100, 0b011]));
                continue;
            }
            for shape in shapes {
                check_all(device, shape, [WHOLE; 3]);
                check_in_vectors(device, shape, 0..8);
            }
            check_all(device, [3, 40_000, 2], [WHOLE; 3]);
            for shape in [[4, 0, 6], [0, 3, 2], [3, 2, 0]] {
                check_all(device, shape, [WHOLE; 3]);
            }
        }
    }
}

#[test]
fn halves_are_multiplied_by_cooperative_matrices_or_without() {
    for (patch, slices) in Patch::ALL.into_iter().flat_map(|it| [(it, 1), (it, 3)]) {
        for device in &devices(Variant { family: Family::Cooperative(patch), slices }) {
            for shape in [[3, 20, 5], [17, 36, 33], [70, 100, 66], [130, 68, 140]] {
                check_in_vectors(device, shape, 0..8);
            }
        }
    }
}

#[test]
fn parts_larger_than_a_binding_are_seen_in_windows() {
    // On this device a binding can have 262 144 elements.
    let narrow = |policy: fn(DeviceKind) -> Policy| {
        let (adapter, device, queue) = narrow_wgpu();
        let backend = GpuBackend::adopt(&adapter, device, queue).unwrap();
        policy(adapter.get_info().device_type.into()).on(backend)
    };
    let device = narrow(Policy::of);
    let place = |offset, beside| Place { offset, beside, transposed: false };
    for shape in
        [[3, 5, 270_000], [270_000, 2, 3], [2, 270_000, 3], [520, 30, 530], [520, 530, 540]]
    {
        check_all(&device, shape, [place(9, 1), place(1000, 0), place(77, 2)]);
    }
    // With slices, too, whose sums together would be larger than a binding.
    let sliced = narrow(|kind| {
        let variant = Variant { family: Family::Tiles(Tile::SMALL), slices: 8 };
        Policy { product: Some(variant), ..Policy::of(kind) }
    });
    check(&sliced, [300, 530, 540], [place(9, 1), place(1000, 0), place(77, 2)], false);
    check_all(&device, [20, 30, 40], [place(100, 100_000), place(3, 300_000), place(1, 100_000)]);
    for (rows, width) in [(300_000, 1), (5000, 100), (70, 5000), (5, 200_001)] {
        for accumulate in [false, true] {
            check_column_sum(&device, rows, width, 1001, accumulate);
        }
    }
}
