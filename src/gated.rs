//! Gated units.

use std::fmt;
use std::str::FromStr;

use crate::activation::Activation;
use crate::backend::{GatedCall, OpOf};
use crate::device::halves::in_f32;
use crate::device::tensor::{Tensor, check_devices, check_shape};
use crate::error::{Error, Result};
use crate::lines::Rows;
use crate::shape::Shape;
use wgrad_formula::data::names::{Call, given_twice, same_name, unknown_name};
use wgrad_formula::formulas::{Function, PointwiseFunction};

/// A gated unit (Dauphin, Fan, Auli and Grangier 2017; Shazeer 2020): the last axis, of length 2H, holds
/// values and gates, and `y = value ⊙ g(gate)` has length H.
///
/// The values are the first half and the gates the second, as in PyTorch's `glu`, or the other way
/// round with [`gate_first`](Self::gate_first), as in the fused gate and up projections of Llama and Phi.
/// g is any pointwise activation. Products follow IEEE 754: an infinite value times a gate of 0 is NaN.
///
/// If b is the [bound](Activation::ulp_bound) of g, or of g' for dE/dgate, the relative error is at most
/// (b + 1)·2⁻²³, because an ULP is at most 2⁻²³ of the number. This holds if no factor and no result is
/// subnormal and dy·value does not overflow.
///
/// `Display` and `FromStr` round-trip: `glu`, `reglu(gate=first)`,
/// `gated(leaky_relu(slope=0.2))`, `gated(tanh, gate=first)`.
///
/// ```
/// use wgrad::{Activation, Device, Gated};
///
/// let device = Device::cpu();
/// let x = device.tensor(&[2.0, 3.0, 0.0, 0.0], [1, 4])?;
/// let y = Gated::glu().forward(&x)?;
/// assert_eq!((y.shape(), y.to_vec()?), (&[1, 2][..], vec![1.0, 1.5]));
///
/// let dy = device.tensor(&[1.0, 1.0], [1, 2])?;
/// let dx = Gated::reglu().gate_first().backward(&x, &dy)?;
/// assert_eq!(dx.to_vec()?, [0.0, 0.0, 2.0, 3.0]);
/// # Ok::<(), wgrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gated {
    activation: Activation,
    gate_first: bool,
}

/// The units that have a name.
const NAMED: [(&str, Gated); 5] = [
    ("glu", Gated::glu()),
    ("reglu", Gated::reglu()),
    ("geglu", Gated::geglu()),
    ("swiglu", Gated::swiglu()),
    ("bilinear", Gated::bilinear()),
];

/// The name of all others.
const OTHERS: &str = "gated";

impl Gated {
    /// A unit with this activation as g.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for row-wise activations.
    pub fn new(activation: Activation) -> Result<Self> {
        pointwise(activation).map(|_| Self::of(activation))
    }

    const fn of(activation: Activation) -> Self {
        Self { activation, gate_first: false }
    }

    /// The gated linear unit: g is the sigmoid.
    pub const fn glu() -> Self {
        Self::of(Activation::Sigmoid)
    }

    /// g is relu.
    pub const fn reglu() -> Self {
        Self::of(Activation::Relu)
    }

    /// g is gelu, by the error function.
    pub const fn geglu() -> Self {
        Self::of(Activation::Gelu)
    }

    /// g is silu.
    pub const fn swiglu() -> Self {
        Self::of(Activation::Silu)
    }

    /// g is the identity: the product of the halves.
    pub const fn bilinear() -> Self {
        Self::of(Activation::Identity)
    }

    /// The units that have a name: glu, reglu, geglu, swiglu and bilinear.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        NAMED.into_iter().map(|(_, unit)| unit)
    }

    /// With the gate in the first half of the last axis and the values in the second.
    #[must_use]
    pub const fn gate_first(self) -> Self {
        Self { gate_first: true, ..self }
    }

    /// g.
    pub const fn activation(&self) -> Activation {
        self.activation
    }

    /// `value ⊙ g(gate)`: shape [..., 2H] becomes [..., H].
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the last axis is odd; [`Error::InvalidParameter`] if a parameter of the
    /// activation is not finite; [`Error::TooLarge`] if a row is larger than a binding of the GPU.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = x.like_in(output_shape("gated forward", x)?)?;
        self.forward_into(x, &y)?;
        Ok(y)
    }

    /// [`forward`](Self::forward) into an existing tensor.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if y does
    /// not match x.
    pub fn forward_into(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        in_f32([x], [y], |[x], [y]| {
            let call = self.call("gated forward", x, y, "y")?;
            x.device().run(OpOf::GatedForward { call, x: x.storage(), y: y.storage() })
        })
    }

    /// `dE/dx` from x and `dy = dE/dy`, of x's shape: dy ⊙ g(gate) in the half of the values, and
    /// dy ⊙ value ⊙ g'(gate) in the half of the gates.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if dy does
    /// not match x.
    pub fn backward(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let dx = x.like()?;
        self.backward_into(x, dy, &dx)?;
        Ok(dx)
    }

    /// [`backward`](Self::backward) into an existing tensor, which may be x itself.
    ///
    /// # Errors
    /// As [`backward`](Self::backward), and if dx does not match x.
    pub fn backward_into(&self, x: &Tensor, dy: &Tensor, dx: &Tensor) -> Result<()> {
        const OP: &str = "gated backward";
        in_f32([x, dy], [dx], |[x, dy], [dx]| {
            let call = self.call(OP, x, dy, "dy")?;
            check_devices(OP, [x.device(), dx.device()])?;
            check_shape(OP, "dx", dx, x.shape())?;
            let [x_of, dy, dx] = [x, dy, dx].map(Tensor::storage);
            x.device().run(OpOf::GatedBackward { call, x: x_of, dy, dx })
        })
    }

    /// Checks an input and a tensor, which must have the output's shape, and returns the call.
    fn call(&self, op: &'static str, x: &Tensor, output: &Tensor, name: &str) -> Result<GatedCall> {
        self.activation.validate()?;
        check_devices(op, [x.device(), output.device()])?;
        check_shape(op, name, output, &output_shape(op, x)?)?;
        let Rows { count, width } = x.as_rows();
        let rows = Rows { count, width: width / 2 };
        let function = pointwise(self.activation)?;
        Ok(GatedCall { function, gate_first: self.gate_first, rows })
    }
}

/// The function of a gate.
fn pointwise(activation: Activation) -> Result<PointwiseFunction> {
    match activation.function() {
        Function::Pointwise(function) => Ok(function),
        Function::Rows(_) => Err(Error::Unsupported {
            what: format!("a unit gated by {activation}"),
            reason: "the gate works element by element".to_owned(),
        }),
    }
}

fn output_shape(op: &'static str, x: &Tensor) -> Result<Shape> {
    let mut axes = x.shape().to_vec();
    match axes.last_mut() {
        Some(last) if last.is_multiple_of(2) => *last /= 2,
        _ => return Err(Error::shape(op, "x with an even last axis", x.dimensions())),
    }
    Ok(Shape::from(axes))
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = NAMED.iter().find(|(_, unit)| unit.activation == self.activation);
        match (named, self.gate_first) {
            (Some((name, _)), false) => f.write_str(name),
            (Some((name, _)), true) => write!(f, "{name}(gate=first)"),
            (None, false) => write!(f, "{OTHERS}({})", self.activation),
            (None, true) => write!(f, "{OTHERS}({}, gate=first)", self.activation),
        }
    }
}

wgrad_formula::as_text!(Gated, "a gated unit");

impl FromStr for Gated {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some((name, inside)) = text.trim().split_once('(')
            && same_name(name, OTHERS)
        {
            let inside = inside
                .strip_suffix(')')
                .ok_or_else(|| Error::text(text, "the opening parenthesis is not closed"))?;
            return match inside.rsplit_once(',').map(|(unit, last)| (unit, last.split_once('='))) {
                Some((activation, Some((key, side))))
                    if same_name(key, "gate") && !side.ends_with(')') =>
                {
                    let before = activation.rsplit_once(',').and_then(|it| it.1.split_once('='));
                    if before.is_some_and(|(key, _)| same_name(key, "gate")) {
                        return Err(given_twice("gate", side.trim()));
                    }
                    Self::new(activation.parse()?)?.with_gate(side)
                }
                _ => Self::new(inside.parse()?),
            };
        }
        if same_name(text, OTHERS) {
            let reason = "an activation is needed, as in gated(tanh)";
            return Err(Error::text(text, reason));
        }
        let call = Call::parse(text)?;
        let names: Vec<&'static str> =
            NAMED.iter().map(|&(name, _)| name).chain([OTHERS]).collect();
        let (_, mut unit) = NAMED
            .into_iter()
            .find(|(name, _)| same_name(name, call.name))
            .ok_or_else(|| unknown_name("gated unit", call.name, &names))?;
        for (place, (key, side)) in call.arguments.into_iter().enumerate() {
            if !same_name(key, "gate") {
                return Err(unknown_name("parameter", key, &["gate"]));
            }
            if place > 0 {
                return Err(given_twice("gate", side));
            }
            unit = unit.with_gate(side)?;
        }
        Ok(unit)
    }
}

impl Gated {
    fn with_gate(self, side: &str) -> Result<Self> {
        let is = |name: &str| same_name(side, name);
        if is("first") || is("last") {
            return Ok(Self { gate_first: is("first"), ..self });
        }
        Err(Error::parameter("gate", side, "must be first or last"))
    }
}
