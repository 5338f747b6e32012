//! Evaluates the polynomials for 16 arguments at a time.

use pulp::x86::V4;
use pulp::{NullaryFnOnce, Simd, cast, f32x16, u32x16};

use super::table::{Column, DEGREE, INTERVALS, Symmetry, Table, Tabulated, table};

const LANES: usize = 16;

type Vector = [f32; LANES];

/// The number of vectors after which the lanes that the polynomials do not cover are corrected.
const BLOCK: usize = 16;

/// A function's polynomials, on a processor that has the instructions.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Evaluator {
    simd: V4,
    table: &'static Table,
}

impl Evaluator {
    /// Returns `None` if the function has no polynomials, or the processor lacks the instructions.
    pub(in crate::cpu) fn new(function: Tabulated) -> Option<Self> {
        let simd = V4::try_new()?;
        table(function).map(|table| Self { simd, table })
    }

    /// The polynomials cover all arguments whose size is at most this.
    pub(in crate::cpu) fn farthest(self) -> f32 {
        self.table.farthest
    }

    /// Computes `output = f(x)`, times a factor if there is one. `elsewhere` computes f for
    /// arguments that the polynomials do not cover.
    pub(in crate::cpu) fn map(
        self,
        x: &[f32],
        factor: Option<&[f32]>,
        output: &mut [f32],
        elsewhere: &dyn Fn(&[f32], &mut [f32]),
    ) {
        let Self { simd, table } = self;
        let run = |x, factor, output| {
            simd.vectorize(Vectors { simd, table, x, factor, output, elsewhere });
        };
        let (x, x_rest) = x.as_chunks();
        let (output, output_rest) = output.as_chunks_mut();
        let (factor, factor_rest) = factor.map(|factor| factor.as_chunks()).unzip();
        run(x, factor, output);
        if !x_rest.is_empty() {
            let factor_rest = factor_rest.map(|factor| [padded(factor)]);
            let mut rest = [[0.0; LANES]];
            run(&[padded(x_rest)], factor_rest.as_ref().map(|rest| &rest[..]), &mut rest);
            output_rest.copy_from_slice(&rest[0][..output_rest.len()]);
        }
    }
}

fn padded(rest: &[f32]) -> Vector {
    let mut vector = [0.0; LANES];
    vector[..rest.len()].copy_from_slice(rest);
    vector
}

struct Vectors<'a> {
    simd: V4,
    table: &'a Table,
    x: &'a [Vector],
    factor: Option<&'a [Vector]>,
    output: &'a mut [Vector],
    elsewhere: &'a dyn Fn(&[f32], &mut [f32]),
}

impl NullaryFnOnce for Vectors<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        // Each symmetry gets its own loop.
        match self.table.symmetry {
            Symmetry::Complement => self.blocks(Symmetry::Complement),
            Symmetry::Ramp => self.blocks(Symmetry::Ramp),
            Symmetry::RampOfProduct => self.blocks(Symmetry::RampOfProduct),
            Symmetry::Odd => self.blocks(Symmetry::Odd),
            Symmetry::Even => self.blocks(Symmetry::Even),
        }
    }
}

impl Vectors<'_> {
    #[inline(always)]
    fn blocks(self, symmetry: Symmetry) {
        let Self { simd, table, x, factor, output, elsewhere } = self;
        let polynomials = Polynomials::new(simd, table, symmetry);
        for (n, (x, output)) in x.chunks(BLOCK).zip(output.chunks_mut(BLOCK)).enumerate() {
            let mut farthest = simd.splat_u32s(0);
            for (&x, y) in x.iter().zip(&mut *output) {
                let x = cast(x);
                *y = cast(polynomials.at(x));
                farthest = simd.max_u32s(farthest, polynomials.reach(x));
            }
            if polynomials.is_beyond(farthest) != 0 {
                polynomials.amend(x, output, elsewhere);
            }
            if let Some(factor) = factor {
                for (y, &factor) in output.iter_mut().zip(&factor[n * BLOCK..]) {
                    *y = cast(simd.mul_f32s(cast(*y), cast(factor)));
                }
            }
        }
    }
}

/// A table, held in registers.
#[derive(Clone, Copy)]
struct Polynomials {
    simd: V4,
    symmetry: Symmetry,
    rate: f32x16,
    growth: f32x16,
    farthest: f32x16,
    keep: u32x16,
    bound: u32x16,
    centres: [f32x16; 2],
    coefficients: [[f32x16; 2]; DEGREE + 1],
}

impl Polynomials {
    #[inline(always)]
    fn new(simd: V4, table: &Table, symmetry: Symmetry) -> Self {
        let load = |column: &Column| cast::<[f32; INTERVALS], [f32x16; 2]>(column.0);
        Self {
            simd,
            symmetry,
            rate: simd.splat_f32s(table.rate),
            growth: simd.splat_f32s(table.growth),
            farthest: simd.splat_f32s(table.farthest),
            keep: simd.splat_u32s(table.keep),
            bound: simd.splat_u32s(table.bound),
            centres: load(&table.centres),
            coefficients: std::array::from_fn(|power| load(&table.coefficients[power])),
        }
    }

    /// The distance of x as an integer, which exceeds the bound if the polynomials do not cover x.
    #[inline(always)]
    fn reach(self, x: f32x16) -> u32x16 {
        self.simd.and_u32s(cast(x), self.keep)
    }

    /// The lanes that are beyond the bound.
    #[inline(always)]
    fn is_beyond(self, reach: u32x16) -> u16 {
        self.simd.greater_than_u32s(reach, self.bound).0
    }

    /// Computes the lanes that the polynomials do not cover with `elsewhere`.
    #[inline(always)]
    fn amend(self, x: &[Vector], output: &mut [Vector], elsewhere: &dyn Fn(&[f32], &mut [f32])) {
        let Self { simd, .. } = self;
        let uncovered = |x: Vector| self.is_beyond(self.reach(cast(x)));
        // Collect their arguments side by side.
        let mut arguments = [0.0; (BLOCK + 1) * LANES];
        let mut count = 0;
        for &x in x {
            let lanes = uncovered(x);
            let packed: Vector = cast(simd.avx512f._mm512_maskz_compress_ps(lanes, cast(x)));
            arguments[count..count + LANES].copy_from_slice(&packed);
            count += lanes.count_ones() as usize;
        }
        let mut values = [0.0; (BLOCK + 1) * LANES];
        elsewhere(&arguments[..count], &mut values[..count]);
        let mut start = 0;
        for (&x, y) in x.iter().zip(output) {
            let lanes = uncovered(x);
            if let Some(values) = values[start..].first_chunk::<LANES>() {
                *y = cast(simd.avx512f._mm512_mask_expand_ps(cast(*y), lanes, cast(*values)));
            }
            start += lanes.count_ones() as usize;
        }
    }

    /// f(x), for an x that the polynomials cover.
    #[inline(always)]
    fn at(self, x: f32x16) -> f32x16 {
        /// 1.5 · 2^23: the sum's last bits are the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        let Self { simd, symmetry, .. } = self;
        // If x is NaN, so is a: the instruction then returns its second operand.
        let magnitude = cast(simd.abs_f32s(x));
        let a: f32x16 = cast(simd.avx512f._mm512_min_ps(cast(self.farthest), magnitude));
        let rate = simd.mul_add_f32s(self.growth, a, self.rate);
        let interval = simd.mul_add_f32s(rate, a, simd.splat_f32s(ROUND));
        // The instruction uses the last five bits of the index.
        let look_up = |[low, high]: [f32x16; 2]| -> f32x16 {
            cast(simd.avx512f._mm512_permutex2var_ps(cast(low), cast(interval), cast(high)))
        };
        let t = simd.sub_f32s(a, look_up(self.centres));
        let mut slope = look_up(self.coefficients[DEGREE]);
        for power in (1..DEGREE).rev() {
            slope = simd.mul_add_f32s(slope, t, look_up(self.coefficients[power]));
        }
        let constant = look_up(self.coefficients[0]);
        // f(−a), or its quotient by −a.
        let value = match symmetry.is_product() {
            true => simd.mul_add_f32s(a, constant, simd.mul_f32s(simd.mul_f32s(a, t), slope)),
            false => simd.mul_add_f32s(t, slope, constant),
        };
        match symmetry {
            Symmetry::Complement => {
                let complement = simd.sub_f32s(simd.splat_f32s(1.0), value);
                let negative = simd.less_than_i32s(cast(x), simd.splat_i32s(0));
                simd.select_f32s(negative, value, complement)
            }
            Symmetry::Ramp => simd.add_f32s(self.ramp(x), value),
            Symmetry::RampOfProduct => simd.sub_f32s(self.ramp(x), value),
            Symmetry::Odd => {
                let sign = simd.and_u32s(cast(x), simd.splat_u32s(1 << 31));
                cast(simd.or_u32s(cast(value), sign))
            }
            Symmetry::Even => value,
        }
    }

    /// The greater of 0 and x; x itself if both are zeros of any sign, or if x is NaN.
    #[inline(always)]
    fn ramp(self, x: f32x16) -> f32x16 {
        let zero = self.simd.splat_f32s(0.0);
        cast(self.simd.avx512f._mm512_max_ps(cast(zero), cast(x)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{FUNCTIONS, Function};
    use super::*;

    /// All functions with polynomials, or none if the processor lacks the instructions.
    fn evaluators() -> Vec<Evaluator> {
        let evaluator = |f: &Function| Evaluator::new(f.of);
        FUNCTIONS.iter().filter_map(evaluator).collect()
    }

    /// Arguments that the polynomials cover, and others.
    fn arguments() -> Vec<f32> {
        let special = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-40, -1e-40];
        let wide = (0..500).map(|n| ((n * 7919) % 1000) as f32 * 0.08 - 40.0);
        let narrow = (0..500).map(|n| ((n * 7919) % 1000) as f32 * 0.004 - 2.0);
        narrow.chain(wide).chain(special).collect()
    }

    fn other(x: &[f32], y: &mut [f32]) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = 1000.0 + x.abs().min(1e3));
    }

    #[test]
    fn a_result_does_not_depend_on_the_neighbours() {
        let x = arguments();
        for evaluator in evaluators() {
            let alone = |x: f32| {
                let mut y = [0.0];
                evaluator.map(&[x], None, &mut y, &other);
                y[0].to_bits()
            };
            for start in 0..17 {
                let x = &x[start..];
                let mut y = vec![0.0; x.len()];
                evaluator.map(x, None, &mut y, &other);
                assert!(y.iter().zip(x).all(|(y, &x)| y.to_bits() == alone(x)));
                let mut times = vec![0.0; x.len()];
                evaluator.map(x, Some(&vec![-2.0; x.len()]), &mut times, &other);
                assert!(
                    times.iter().zip(&y).all(|(a, b)| a.is_nan() && b.is_nan() || *a == -2.0 * b)
                );
            }
        }
    }

    #[test]
    fn what_has_no_interval_goes_another_way() {
        for evaluator in evaluators() {
            let Table { symmetry, keep, bound, .. } = *evaluator.table;
            for x in arguments() {
                let mut y = [0.0];
                evaluator.map(&[x], None, &mut y, &other);
                assert_eq!(
                    y[0] >= 1000.0 && y[0] != x,
                    x.to_bits() & keep > bound,
                    "{x} {symmetry:?}"
                );
            }
        }
    }
}
