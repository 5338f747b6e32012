//! Activation functions.

mod catalogue;
mod formula;
mod masks;
mod rowwise;
mod slices;
mod wgsl;

pub use catalogue::Activation;
pub use masks::EmptyRows;
pub use rowwise::Rowwise;

use std::fmt;

use wgrad_formula::formulas::{Function, PointwiseFunction};

use crate::backend::{Binary, OpOf, Unary};
use crate::device::halves::in_f32;
use crate::device::kernel_source;
use crate::device::tensor::{Tensor, check_devices, misshaped};
use crate::error::{Error, Result};

impl Activation {
    /// `g(z)`: element by element, or along the last axis for row-wise activations; for other axes, use
    /// [`Rowwise`].
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a parameter is not finite.
    pub fn forward(&self, z: &Tensor) -> Result<Tensor> {
        let y = z.like()?;
        self.forward_into(z, &y)?;
        Ok(y)
    }

    /// [`forward`](Self::forward) into an existing tensor, which may be z itself.
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if y does
    /// not match z.
    pub fn forward_into(&self, z: &Tensor, y: &Tensor) -> Result<()> {
        match self.function() {
            Function::Rows(_) => Rowwise::new(*self)?.forward_into(z, y),
            Function::Pointwise(function) => self.unary(function, Unary::Forward, z, y),
        }
    }

    /// `g'(z)`, element by element.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for row-wise activations, which have a [`jacobian`](Self::jacobian) instead.
    pub fn derivative(&self, z: &Tensor) -> Result<Tensor> {
        let d = z.like()?;
        self.derivative_into(z, &d)?;
        Ok(d)
    }

    /// [`derivative`](Self::derivative) into an existing tensor, which may be z itself.
    ///
    /// # Errors
    /// As [`derivative`](Self::derivative), and if d does not match z.
    pub fn derivative_into(&self, z: &Tensor, d: &Tensor) -> Result<()> {
        self.unary(self.pointwise("derivative")?, Unary::Derivative, z, d)
    }

    /// `g'(z)` from `y = g(z)`, without computing g again: p(1 − p) for the sigmoid.
    ///
    /// # Errors
    /// [`Error::NotAFunctionOfOutput`] if y does not determine g'(z); [`Error::Unsupported`] for row-wise
    /// activations.
    pub fn derivative_from_output(&self, y: &Tensor) -> Result<Tensor> {
        let d = y.like()?;
        self.derivative_from_output_into(y, &d)?;
        Ok(d)
    }

    /// [`derivative_from_output`](Self::derivative_from_output) into an existing tensor, which may be y
    /// itself.
    ///
    /// # Errors
    /// As [`derivative_from_output`](Self::derivative_from_output), and if d does not match y.
    pub fn derivative_from_output_into(&self, y: &Tensor, d: &Tensor) -> Result<()> {
        let function = self.pointwise("derivative_from_output")?;
        self.check_function_of_output()?;
        self.unary(function, Unary::DerivativeFromOutput, y, d)
    }

    /// `g''(z)`, element by element.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for row-wise activations, and for WGSL without a `second_derivative`.
    pub fn second_derivative(&self, z: &Tensor) -> Result<Tensor> {
        let d = z.like()?;
        self.second_derivative_into(z, &d)?;
        Ok(d)
    }

    /// [`second_derivative`](Self::second_derivative) into an existing tensor, which may be z itself.
    ///
    /// # Errors
    /// As [`second_derivative`](Self::second_derivative), and if d does not match z.
    pub fn second_derivative_into(&self, z: &Tensor, d: &Tensor) -> Result<()> {
        let function = self.pointwise("second_derivative")?;
        if !function.has_second_derivative() {
            return Err(Error::Unsupported {
                what: format!("second_derivative of {}", self.name()),
                reason: "its WGSL has no fn second_derivative(z: f32) -> f32".to_owned(),
            });
        }
        self.unary(function, Unary::SecondDerivative, z, d)
    }

    /// `dE/dz` from z and `dy = dE/dy`: dy ⊙ g'(z), or the product with the Jacobian along each row. A product
    /// that f32 holds is correct even if g'(z) overflows, as for `exponential` from z = 89 on.
    ///
    /// ```
    /// use wgrad::{Activation, Device};
    ///
    /// let device = Device::cpu();
    /// let z = device.tensor(&[0.0, 2.0], [2])?;
    /// let dy = device.tensor(&[1.0, -1.0], [2])?;
    /// let dz = Activation::Sigmoid.backward(&z, &dy)?.to_vec()?;
    /// assert_eq!(dz[0], 0.25);
    /// assert!((dz[1] + 0.10499359).abs() < 1e-8);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] or [`Error::DeviceMismatch`] if z and dy do not match.
    pub fn backward(&self, z: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let dz = z.like()?;
        self.backward_into(z, dy, &dz)?;
        Ok(dz)
    }

    /// [`backward`](Self::backward) into an existing tensor, which may be z or dy.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_into(&self, z: &Tensor, dy: &Tensor, dz: &Tensor) -> Result<()> {
        match self.function() {
            Function::Rows(_) => Rowwise::new(*self)?.backward_into(z, dy, dz),
            Function::Pointwise(function) => self.binary(function, Binary::Backward, [z, dy], dz),
        }
    }

    /// `dE/dz` from `y = g(z)` and `dy = dE/dy`, without computing g again. Digits that y has lost cannot be
    /// recovered: see [`Rowwise::backward_from_output`].
    ///
    /// # Errors
    /// [`Error::NotAFunctionOfOutput`] if y does not determine g'(z); [`Error::ShapeMismatch`] or
    /// [`Error::DeviceMismatch`] if y and dy do not match.
    pub fn backward_from_output(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let dz = y.like()?;
        self.backward_from_output_into(y, dy, &dz)?;
        Ok(dz)
    }

    /// [`backward_from_output`](Self::backward_from_output) into an existing tensor, which may be y or dy.
    ///
    /// # Errors
    /// As [`backward_from_output`](Self::backward_from_output).
    pub fn backward_from_output_into(&self, y: &Tensor, dy: &Tensor, dz: &Tensor) -> Result<()> {
        match self.function() {
            Function::Rows(_) => Rowwise::new(*self)?.backward_from_output_into(y, dy, dz),
            Function::Pointwise(function) => {
                self.check_function_of_output()?;
                self.binary(function, Binary::BackwardFromOutput, [y, dy], dz)
            }
        }
    }

    /// `∂y_i/∂z_j` of each row: shape [..., K] becomes [..., K, K]. Only for row-wise activations; for
    /// other axes, use [`Rowwise`].
    ///
    /// # Errors
    /// [`Error::Unsupported`] for pointwise activations, whose Jacobian is diagonal: see
    /// [`derivative`](Self::derivative). [`Error::TooLarge`] if the Jacobian does not fit the device.
    pub fn jacobian(&self, z: &Tensor) -> Result<Tensor> {
        Rowwise::new(*self)?.jacobian(z)
    }

    /// [`jacobian`](Self::jacobian) into an existing tensor.
    ///
    /// # Errors
    /// As [`jacobian`](Self::jacobian), and if the tensor does not match z.
    pub fn jacobian_into(&self, z: &Tensor, jacobian: &Tensor) -> Result<()> {
        Rowwise::new(*self)?.jacobian_into(z, jacobian)
    }

    /// Whether the value of g determines g': see
    /// [`derivative_from_output`](Self::derivative_from_output). For row-wise activations, whether it
    /// determines the Jacobian.
    pub fn has_derivative_from_output(&self) -> bool {
        self.function().pointwise().is_none_or(PointwiseFunction::has_derivative_from_output)
    }

    /// The WGSL of the kernel that computes g (order 0), g' (1) or g'' (2), element by element, to read or
    /// to use in another program. `None` for other orders and for row-wise activations.
    ///
    /// The entry point `main` has workgroups of 256 invocations, which compute four elements each. In group 0,
    /// binding 0 is a uniform buffer of two u32, the number of groups of four elements and a zero; binding 1
    /// is the input, binding 2 the output. The parameters are `override` constants that start with `g_`.
    ///
    /// ```
    /// let source = wgrad::Activation::leaky_relu().kernel_source(0).unwrap();
    /// assert!(source.contains("override g_slope: f32"));
    /// ```
    pub fn kernel_source(&self, order: usize) -> Option<String> {
        let map = match order {
            0 => Unary::Forward,
            1 => Unary::Derivative,
            2 => Unary::SecondDerivative,
            _ => return None,
        };
        let function = self.function().pointwise()?;
        (order < 2 || function.has_second_derivative()).then(|| kernel_source(map, function))
    }

    /// The pointwise function of an operation that functions of rows do not have.
    fn pointwise(&self, op: &'static str) -> Result<PointwiseFunction> {
        self.function().pointwise().ok_or_else(|| Error::Unsupported {
            what: format!("{op} of {self}"),
            reason: "each output depends on its whole row; use jacobian or backward".to_owned(),
        })
    }

    fn check_function_of_output(&self) -> Result<()> {
        if self.has_derivative_from_output() {
            return Ok(());
        }
        Err(Error::NotAFunctionOfOutput { activation: self.to_string() })
    }

    /// Checks that the parameters are valid and all tensors match the output.
    fn check(&self, op: &'static str, inputs: &[&Tensor], output: &Tensor) -> Result<()> {
        self.validate()?;
        check_devices(op, inputs.iter().chain([&output]).map(|tensor| tensor.device()))?;
        check_inputs(op, self, inputs, output)
    }

    fn unary(
        &self,
        function: PointwiseFunction,
        map: Unary,
        input: &Tensor,
        output: &Tensor,
    ) -> Result<()> {
        let op = match map {
            Unary::Forward => "forward",
            Unary::Derivative => "derivative",
            Unary::SecondDerivative => "second_derivative",
            Unary::DerivativeFromOutput => "derivative_from_output",
        };
        self.check(op, &[input], output)?;
        let (input, elements) = (input.storage(), output.len());
        output.device().run(OpOf::Unary {
            map,
            function,
            input,
            output: output.storage(),
            elements,
        })
    }

    fn binary(
        &self,
        function: PointwiseFunction,
        map: Binary,
        inputs: [&Tensor; 2],
        output: &Tensor,
    ) -> Result<()> {
        let op = match map {
            Binary::Backward => "backward",
            Binary::BackwardFromOutput => "backward_from_output",
        };
        self.check(op, &inputs, output)?;
        let run = |inputs: [&Tensor; 2], [output]: [&Tensor; 1]| {
            let (inputs, elements) = (inputs.map(Tensor::storage), output.len());
            output.device().run(OpOf::Binary {
                map,
                function,
                inputs,
                output: output.storage(),
                elements,
            })
        };
        if inputs[0].dtype() == inputs[1].dtype() {
            return run(inputs, [output]);
        }
        in_f32(inputs, [output], run)
    }
}

/// Checks that all inputs of an activation, of which the first is z or y, and the output have the same shape.
fn check_inputs(
    op: &'static str,
    activation: &dyn fmt::Display,
    inputs: &[&Tensor],
    output: &Tensor,
) -> Result<()> {
    let Some((first, vectors)) = inputs.split_first() else { return Ok(()) };
    let (argument, vector, result) = match op {
        "forward" => ("z", "", "y"),
        "backward" => ("z", "dy", "dz"),
        "jvp" => ("z", "dz", "dy"),
        "backward_from_output" => ("y", "dy", "dz"),
        "derivative_from_output" => ("y", "", "the derivative"),
        _ => ("z", "", "the derivative"),
    };
    let check = |name: &str, tensor: &Tensor| {
        if tensor.shape() == first.shape() {
            return Ok(());
        }
        let shape = first.dimensions();
        let expected = format!("{name} of shape {shape}, which the {argument} of {activation} has");
        Err(misshaped(op, expected, tensor))
    };
    vectors.iter().try_for_each(|tensor| check(vector, tensor))?;
    check(result, output)
}
