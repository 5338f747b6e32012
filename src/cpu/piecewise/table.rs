//! The functions that have polynomials, and their layout in memory.

use std::sync::OnceLock;

use super::fit;
use crate::backend::Unary;
use wgrad_formula::expression::{self, unary_value};
use wgrad_formula::formulas::PointwiseFunction;

/// The number of intervals. One instruction looks up in a table of this many
/// values, one for each interval.
pub(super) const INTERVALS: usize = 32;

/// The degree of the polynomials.
pub(super) const DEGREE: usize = 6;

/// The way in which f(x) for positive x follows from f(−x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symmetry {
    /// f(x) = 1 − f(−x)
    Complement,
    /// f(x) = x + f(−x)
    Ramp,
    /// f(x) = x + f(−x), and f(−x) is x times a polynomial.
    RampOfProduct,
    /// f(x) = −f(−x), which is x times a polynomial.
    Odd,
    /// f(x) = f(−x)
    Even,
}

impl Symmetry {
    pub(super) const fn is_product(self) -> bool {
        matches!(self, Self::RampOfProduct | Self::Odd)
    }
}

/// What can be computed by polynomials.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cpu) enum Tabulated {
    Activation(PointwiseFunction, Unary),
    /// The distribution function of the standard normal distribution.
    NormalCdf,
}

/// A function that is computed by polynomials.
pub(super) struct Function {
    pub(super) of: Tabulated,
    pub(super) symmetry: Symmetry,
    /// The interval of a = |x| is the integer nearest to a·(rate + growth·a). The intervals are
    /// narrow where the function falls fast.
    pub(super) rate: f64,
    pub(super) growth: f64,
}

const fn function(
    function: PointwiseFunction,
    map: Unary,
    symmetry: Symmetry,
    [rate, growth]: [f64; 2],
) -> Function {
    Function { of: Tabulated::Activation(function, map), symmetry, rate, growth }
}

pub(super) const FUNCTIONS: [Function; 15] = {
    use PointwiseFunction::{Gelu, GeluTanh, QuickGelu, Sigmoid, Silu, Tanh};
    use Symmetry::{Complement, Even, Odd, Ramp, RampOfProduct};
    use Unary::{Derivative, Forward};
    const SOFTPLUS: PointwiseFunction = PointwiseFunction::Softplus { beta: 1.0, threshold: 20.0 };
    // If a derivative has a root, the root is in the middle of an interval.
    [
        function(Sigmoid, Forward, Complement, [1.8, 0.0]),
        function(Sigmoid, Derivative, Even, [2.0, 0.0]),
        function(Tanh, Forward, Odd, [3.0, 0.0]),
        function(Tanh, Derivative, Even, [3.4, 0.0]),
        function(SOFTPLUS, Forward, Ramp, [1.8, 0.0]),
        function(SOFTPLUS, Derivative, Complement, [1.8, 0.0]),
        function(Silu, Forward, RampOfProduct, [1.8, 0.0]),
        function(Silu, Derivative, Complement, [2.346_6, 0.0]),
        function(QuickGelu, Forward, RampOfProduct, [3.06, 0.0]),
        function(QuickGelu, Derivative, Complement, [3.993_9, 0.0]),
        function(Gelu, Forward, RampOfProduct, [1.8, 0.45]),
        function(Gelu, Derivative, Complement, [2.322, 0.45]),
        function(GeluTanh, Forward, RampOfProduct, [1.8, 0.8]),
        function(GeluTanh, Derivative, Complement, [2.206_6, 0.6]),
        Function { of: Tabulated::NormalCdf, symmetry: Complement, rate: 1.8, growth: 0.45 },
    ]
};

/// One number for each interval.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Column(pub(super) [f32; INTERVALS]);

/// The polynomials of a function.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) symmetry: Symmetry,
    pub(super) rate: f32,
    pub(super) growth: f32,
    /// The greatest a that has an interval.
    pub(super) farthest: f32,
    /// The polynomials cover those x whose kept bits, as an integer, are at most the bound. This
    /// may include NaN, which the polynomials pass on.
    pub(super) keep: u32,
    pub(super) bound: u32,
    /// A number near the middle of each interval at which the function is close to an
    /// f32, or the function's root.
    pub(super) centres: Column,
    /// The coefficients of the powers of a − centre, constant first.
    pub(super) coefficients: [Column; DEGREE + 1],
}

/// The polynomials of the function, computed on first use; `None` if it has none.
pub(super) fn table(wanted: Tabulated) -> Option<&'static Table> {
    static TABLES: [OnceLock<Table>; FUNCTIONS.len()] = [const { OnceLock::new() }; _];
    let index = FUNCTIONS.iter().position(|function| function.of == wanted)?;
    Some(TABLES[index].get_or_init(|| fit::table(&FUNCTIONS[index])))
}

impl Function {
    /// f(x)
    pub(super) fn at(&self, x: f64) -> f64 {
        match self.of {
            Tabulated::Activation(function, map) => function.at(map, x),
            Tabulated::NormalCdf => unary_value(expression::Unary::NormalCdf, x),
        }
    }
}
