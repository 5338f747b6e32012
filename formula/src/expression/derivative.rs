//! The derivative of an expression.

use std::f64::consts::{FRAC_2_SQRT_PI, PI};

use super::graph::{Binary, Comparison, Graph, Id, Node, Unary};

/// The number of nodes that an expression and its derivatives may have together.
pub const NODES: usize = 20_000;

/// What a derivative is taken with respect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum With {
    /// An argument, by its place.
    Variable(u8),
    /// A parameter, by its place.
    Parameter(u8),
}

impl Graph {
    /// The derivative of a node; `None` if it has more than [`NODES`] nodes.
    ///
    /// At the kinks it is PyTorch's: 0 for relu and abs, half of each for the two arguments of min and max if
    /// they are equal, and the branch of a select that its condition chooses.
    pub fn derivative(&mut self, of: Id, with: With) -> Option<Id> {
        let live = self.live(&[of]);
        let (zero, one) = (self.number(0.0), self.number(1.0));
        let mut slopes = vec![zero; of.index() + 1];
        for id in live {
            let slope = match self.node(id) {
                Node::Variable(place) if with == With::Variable(place) => one,
                Node::Parameter(place) if with == With::Parameter(place) => one,
                Node::Variable(_) | Node::Parameter(_) | Node::Number(_) => zero,
                node if node.operands().all(|it| slopes[it.index()] == zero) => zero,
                Node::Unary(function, x) => {
                    let inner = slopes[x.index()];
                    match (function, self.node(x)) {
                        (Unary::Negate, _) => self.negate(inner),
                        (Unary::Atan, Node::Unary(Unary::Exp, exponent)) => {
                            self.slope_of_atan_exp(exponent, slopes[exponent.index()])
                        }
                        _ => {
                            let outer = self.slope(function, x, id);
                            self.multiply(outer, inner)
                        }
                    }
                }
                Node::Binary(function, operands) => {
                    self.binary_slope(function, id, operands, operands.map(|it| slopes[it.index()]))
                }
                Node::Select(comparison, [a, b, c, d]) => {
                    let [c, d] = [c, d].map(|it| slopes[it.index()]);
                    self.select(comparison, [a, b, c, d])
                }
            };
            if self.size() > NODES {
                return None;
            }
            slopes[id.index()] = slope;
        }
        Some(slopes[of.index()])
    }

    /// The derivative of a function at x; `y` is its value.
    fn slope(&mut self, function: Unary, x: Id, y: Id) -> Id {
        match function {
            Unary::Negate => self.number(-1.0),
            Unary::Exp => y,
            Unary::Expm1 => self.unary(Unary::Exp, x),
            Unary::Log => self.inverse(x),
            Unary::Log1p => {
                let one = self.number(1.0);
                let sum = self.add(one, x);
                self.inverse(sum)
            }
            Unary::Tanh => self.unary(Unary::TanhSlope, x),
            Unary::TanhSlope => {
                let tanh = self.unary(Unary::Tanh, x);
                let product = self.multiply(tanh, y);
                self.times(-2.0, product)
            }
            Unary::Sigmoid => self.unary(Unary::SigmoidSlope, x),
            // 1 − 2σ(x) = −tanh(x/2)
            Unary::SigmoidSlope => {
                let half = self.times(0.5, x);
                let tanh = self.unary(Unary::Tanh, half);
                let product = self.multiply(tanh, y);
                self.negate(product)
            }
            // (σ + x·σ')' = σ'·(2 − x·tanh(x/2))
            Unary::SiluSlope => {
                let half = self.times(0.5, x);
                let tanh = self.unary(Unary::Tanh, half);
                let product = self.multiply(x, tanh);
                let two = self.number(2.0);
                let factor = self.subtract(two, product);
                let slope = self.unary(Unary::SigmoidSlope, x);
                self.multiply(slope, factor)
            }
            Unary::Softplus => self.unary(Unary::Sigmoid, x),
            Unary::Erf => self.gaussian(FRAC_2_SQRT_PI, -1.0, x),
            Unary::Erfc => self.gaussian(-FRAC_2_SQRT_PI, -1.0, x),
            Unary::NormalCdf => self.gaussian(1.0 / (2.0 * PI).sqrt(), -0.5, x),
            Unary::Sin => self.unary(Unary::Cos, x),
            Unary::Cos => {
                let sine = self.unary(Unary::Sin, x);
                self.negate(sine)
            }
            Unary::Atan => {
                let (one, two) = (self.number(1.0), self.number(2.0));
                let square = self.power(x, two);
                let sum = self.add(one, square);
                self.inverse(sum)
            }
            Unary::Sqrt => {
                let half = self.number(0.5);
                self.divide(half, y)
            }
            Unary::Abs => self.unary(Unary::Sign, x),
            Unary::Relu => self.unary(Unary::Step, x),
            Unary::Sign | Unary::Step => self.number(0.0),
        }
    }

    /// The derivative of atan(e^x), `e^x / (1 + e^2x)` = `e^−|x|·σ(2|x|)`, in which nothing overflows.
    fn slope_of_atan_exp(&mut self, x: Id, inner: Id) -> Id {
        let size = self.unary(Unary::Abs, x);
        let (minus, twice) = (self.negate(size), self.times(2.0, size));
        let (falling, rising) = (self.unary(Unary::Exp, minus), self.unary(Unary::Sigmoid, twice));
        let outer = self.multiply(falling, rising);
        self.multiply(outer, inner)
    }

    fn binary_slope(&mut self, function: Binary, id: Id, [a, b]: [Id; 2], [da, db]: [Id; 2]) -> Id {
        match function {
            Binary::Add => self.add(da, db),
            Binary::Subtract => self.subtract(da, db),
            Binary::Multiply => {
                let (first, second) = (self.multiply(da, b), self.multiply(a, db));
                self.add(first, second)
            }
            Binary::Divide => {
                // (a' − (a/b)·b') / b
                let product = self.multiply(id, db);
                let numerator = self.subtract(da, product);
                self.divide(numerator, b)
            }
            Binary::Power => {
                let one = self.number(1.0);
                let exponent = self.subtract(b, one);
                let lower = self.power(a, exponent);
                let factor = self.multiply(b, lower);
                let first = self.multiply(factor, da);
                if self.value(b).is_some() {
                    return first;
                }
                let log = self.unary(Unary::Log, a);
                let product = self.multiply(id, log);
                let second = self.multiply(product, db);
                self.add(first, second)
            }
            Binary::Min => self.of_smaller([a, b], [da, db]),
            Binary::Max => self.of_smaller([b, a], [da, db]),
        }
    }

    /// `da` if a < b, `db` if b < a, and the mean if they are equal.
    fn of_smaller(&mut self, [a, b]: [Id; 2], [da, db]: [Id; 2]) -> Id {
        let sum = self.add(da, db);
        let mean = self.times(0.5, sum);
        let rest = self.select(Comparison::Less, [b, a, db, mean]);
        self.select(Comparison::Less, [a, b, da, rest])
    }

    /// `factor·e^(exponent·x²)`
    fn gaussian(&mut self, factor: f64, exponent: f64, x: Id) -> Id {
        let two = self.number(2.0);
        let square = self.power(x, two);
        let scaled = self.times(exponent, square);
        let density = self.unary(Unary::Exp, scaled);
        self.times(factor, density)
    }

    fn times(&mut self, factor: f64, x: Id) -> Id {
        let factor = self.number(factor);
        self.multiply(factor, x)
    }

    fn inverse(&mut self, x: Id) -> Id {
        let one = self.number(1.0);
        self.divide(one, x)
    }
}
