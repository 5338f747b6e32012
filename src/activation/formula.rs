//! Activations that are defined by a formula.

use wgrad_formula::expression::{Custom, Of, parse_call};
use wgrad_formula::formulas::PointwiseFunction;

use super::Activation;
use crate::backend::{Binary, OpOf};
use crate::device::Device;
use crate::device::tensor::{Tensor, check_devices, check_shape};
use crate::error::{Error, Result};
use crate::lines::Rows;
use crate::shape::Shape;

impl Activation {
    /// The activation of a formula in z and the named parameters. Its derivatives follow from the formula, and it can
    /// be used wherever an activation of the catalogue can.
    ///
    /// A formula consists of `z`, the parameters, numbers, `e` and `pi`, `+ - * / ^`, parentheses, and functions: exp,
    /// expm1, log, log1p, tanh, sigmoid, softplus, erf, erfc, normal_cdf, sin, cos, atan, sqrt, abs, sign, min, max,
    /// pow, relu, step, `select(a < b, x, y)` (x if the comparison holds, otherwise y; also `<= > >= == !=`), and each
    /// pointwise activation of the catalogue by its name, as in `gelu(z)` or `elu(z, alpha=2)`.
    ///
    /// At kinks the derivatives are PyTorch's: relu'(0) = 0, abs'(0) = 0, min and max pass half of the slope to each
    /// of two equal numbers. They are simplified to forms that keep their digits: 1 − σ(x) is σ(−x), for example.
    ///
    /// A formula that equals an activation of the catalogue is computed as that activation: `z / (1 + exp(-z))` as
    /// silu, with its accuracy.
    ///
    /// The values of the parameters are not part of the compiled code: another value compiles nothing. The formula is
    /// kept as long as the program runs, once for all its values.
    ///
    /// ```
    /// use wgrad::{Activation, Device};
    ///
    /// let swoosh = Activation::from_formula("z * sigmoid(beta * z)", &[("beta", 1.702)])?;
    /// let device = Device::cpu();
    /// let z = device.tensor(&[-1.0, 0.0, 2.0], [3])?;
    /// let y = swoosh.forward(&z)?.to_vec()?;
    /// assert!((y[2] - 2.0 / (1.0 + (-3.404_f32).exp())).abs() < 1e-6);
    /// assert_eq!(swoosh.derivative(&z)?.to_vec()?[1], 0.5);
    ///
    /// let text = swoosh.to_string();
    /// assert_eq!(text, r#"formula("z * sigmoid(beta * z)", beta=1.702)"#);
    /// assert_eq!(text.parse::<Activation>()?, swoosh);
    ///
    /// let error = Activation::from_formula("z * sigmod(z)", &[]).unwrap_err();
    /// assert!(error.to_string().contains("sigmoid"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidFormula`](crate::Error::InvalidFormula) points at the place at which the text is not a formula;
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter) if a parameter is not an identifier, not finite, or not in the formula.
    pub fn from_formula(formula: &str, parameters: &[(&str, f32)]) -> Result<Self> {
        let custom = Custom::new(Of::Activation, formula, parameters)?;
        let activation = Self::of_custom(custom);
        // Looking for them takes longer than a small operation.
        if log::log_enabled!(log::Level::Warn) {
            for warning in activation.warnings() {
                log::warn!("{custom}: {warning}");
            }
        }
        Ok(activation)
    }

    /// Reads what `Display` prints for a function of the caller's; `None` for another text.
    pub(super) fn parse_custom(text: &str) -> Option<Result<Self>> {
        let formula = || parse_call(Of::Activation, text);
        Self::parse_wgsl(text).or_else(|| Some(formula()?.map(Self::of_custom)))
    }

    /// The same formula under a name of its own, which [`name`](Self::name) returns.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// let swoosh = Activation::from_formula("log(1 + exp(z - 1)) - 0.08 * z", &[])?.named("swoosh")?;
    /// assert_eq!(swoosh.name(), "swoosh");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for an activation of the catalogue; [`Error::InvalidParameter`](crate::Error::InvalidParameter) if the name is not an
    /// identifier.
    pub fn named(&self, name: &str) -> Result<Self> {
        self.custom("another name")?.named(name).map(Self::of_custom)
    }

    /// The same formula with another value for one of its parameters. A [plan](crate::Plan) keeps the values that it
    /// was recorded with.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// let swish = Activation::from_formula("z * sigmoid(beta * z)", &[("beta", 1.0)])?;
    /// assert_eq!(swish.with_parameter("beta", 2.0)?.parameters(), [("beta", "2".to_owned())]);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for an activation of the catalogue, whose parameters are fields;
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter) if the formula has no such parameter or the value is not finite.
    pub fn with_parameter(&self, name: &str, value: f32) -> Result<Self> {
        self.custom("a parameter by its name")?.with(name, value).map(Self::of_custom)
    }

    /// A formula in LaTeX: g for order 0, g' for 1, g'' for 2; `None` for another order, and for activations of the
    /// catalogue, whose documentation shows their formulas.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// let swish = Activation::from_formula("z * sigmoid(beta * z)", &[("beta", 1.0)])?;
    /// assert_eq!(swish.to_latex(0).as_deref(), Some(r"z \cdot \sigma\left(\beta \cdot z\right)"));
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn to_latex(&self, order: usize) -> Option<String> {
        match self {
            Self::Custom(custom) => custom.derived(order).map(|derived| derived.latex.clone()),
            _ => None,
        }
    }

    /// What is doubtful about a formula: an argument up to ±10 000 for which it has no value, or one between −20 and 20
    /// at which it jumps, so that its derivative is not the slope of its values. [`from_formula`](Self::from_formula) logs the same.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// let warnings = Activation::from_formula("log(z)", &[])?.warnings();
    /// assert_eq!(warnings[0], "g(z) is not defined at z = -20");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Custom(custom) => custom.warnings(),
            _ => Vec::new(),
        }
    }

    /// dE/dβ for each parameter β of a formula, in the order of [`parameters`](Self::parameters): the sum of
    /// dy ⊙ ∂g/∂β over all elements, a tensor of one number.
    ///
    /// ```
    /// use wgrad::{Activation, Device};
    ///
    /// let scaled = Activation::from_formula("a * tanh(z)", &[("a", 2.0)])?;
    /// let device = Device::cpu();
    /// let z = device.tensor(&[0.5, -1.0], [2])?;
    /// let dy = device.tensor(&[1.0, 3.0], [2])?;
    /// let da = scaled.parameter_gradients(&z, &dy)?[0].item()?;
    /// assert!((da - (0.5_f32.tanh() - 3.0 * 1.0_f32.tanh())).abs() < 1e-6);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for an activation of the catalogue; [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) or
    /// [`Error::DeviceMismatch`](crate::Error::DeviceMismatch) if z and dy do not match.
    pub fn parameter_gradients(&self, z: &Tensor, dy: &Tensor) -> Result<Vec<Tensor>> {
        self.custom("a gradient for its parameters")?;
        check_devices("parameter_gradients", [z.device(), dy.device()])?;
        self.parameter_sums(&*z.wide()?, &*dy.wide()?, None, |_| Ok(()))
    }

    /// The gradients of the parameters, added to those of another part of the batch, if there is one. `clear` removes
    /// the elements of a tensor that have no effect. Empty for an activation of the catalogue.
    pub(crate) fn parameter_sums(
        &self,
        z: &Tensor,
        dy: &Tensor,
        before: Option<&[Tensor]>,
        clear: impl Fn(&Tensor) -> Result<()>,
    ) -> Result<Vec<Tensor>> {
        let Self::Custom(custom) = self else { return Ok(Vec::new()) };
        let (device, count) = (z.device(), custom.parameter_names().len());
        let sum = |place: usize| {
            let partial = PointwiseFunction::Custom(custom.partial(place as u8)?);
            let products = device.workspace(z.dimensions().clone())?;
            self.binary(partial, Binary::Backward, [z, dy], &products)?;
            clear(&products)?;
            let total = device.allocate(Shape::default())?;
            device.run(OpOf::Sum {
                input: products.storage(),
                output: total.storage(),
                elements: z.len(),
            })?;
            let Some(before) = before else { return Ok(total) };
            let sum = &before[place];
            let one = Rows { count: 1, width: 1 };
            let (input, output) = (total.storage(), sum.storage());
            device.run(OpOf::ColumnSum {
                input,
                rows: one,
                output,
                offset: 0,
                accumulate: true,
            })?;
            Ok(sum.clone())
        };
        (0..count).map(sum).collect()
    }

    /// Checks that there is one number for each parameter, to add its gradient to.
    pub(crate) fn check_parameter_sums(&self, op: &'static str, sums: &[Tensor]) -> Result<()> {
        let count = if self.has_parameters_to_learn() { self.parameters().len() } else { 0 };
        if sums.len() != count {
            let expected = format!("{count} gradients of parameters to add to");
            return Err(Error::shape(op, expected, sums.len()));
        }
        sums.iter().try_for_each(|sum| check_shape(op, "the gradient of a parameter", sum, &[]))
    }

    /// Whether it has [`parameter_gradients`](Self::parameter_gradients).
    pub(crate) fn has_parameters_to_learn(&self) -> bool {
        matches!(self, Self::Custom(custom) if !custom.parameter_names().is_empty())
    }

    /// The values of a formula's parameters as tensors of one number, for an optimizer to step;
    /// [`with_parameter_tensors`](Self::with_parameter_tensors) takes them back. Empty for an activation of the
    /// catalogue.
    ///
    /// ```
    /// use wgrad::{Activation, Dense, Device, Sgd};
    ///
    /// let device = Device::cpu();
    /// let x = device.tensor(&[1.0, -1.0], [1, 2])?;
    /// let w = device.tensor(&[0.5, 0.0, 0.0, 0.5], [2, 2])?;
    /// let dy = device.tensor(&[1.0, 1.0], [1, 2])?;
    /// let mut swish = Activation::from_formula("z * sigmoid(beta * z)", &[("beta", 1.0)])?;
    ///
    /// let learned = swish.parameter_tensors(&device)?;
    /// let layer = Dense::new(swish);
    /// let forward = layer.forward(&x, &w, None)?;
    /// let gradients = layer.backward(&x, &w, &forward, &dy)?;
    /// Sgd::new(1.0).step(&[(&w, &gradients.dw), (&learned[0], &gradients.parameters[0])])?;
    /// swish = swish.with_parameter_tensors(&learned)?;
    /// assert_eq!(swish.parameters()[0].1, "0.88249815");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Device::tensor`].
    pub fn parameter_tensors(&self, device: &Device) -> Result<Vec<Tensor>> {
        let Self::Custom(custom) = self else { return Ok(Vec::new()) };
        custom.values().iter().map(|&value| device.tensor(&[value], [])).collect()
    }

    /// The same formula with the values that the tensors have, one for each parameter, in the order of
    /// [`parameters`](Self::parameters). Reads them.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`](crate::Error::ShapeMismatch) if the number of tensors is not that of the parameters, or
    /// a tensor has not one element; [`Error::InvalidParameter`](crate::Error::InvalidParameter) if a value is not finite.
    pub fn with_parameter_tensors(&self, tensors: &[Tensor]) -> Result<Self> {
        let names = match self {
            Self::Custom(custom) => custom.parameter_names(),
            _ => &[],
        };
        if tensors.len() != names.len() {
            let expected = format!("{} tensors, one for each parameter", names.len());
            return Err(Error::shape("with_parameter_tensors", expected, tensors.len()));
        }
        let mut activation = *self;
        for (name, tensor) in names.iter().zip(tensors) {
            activation = activation.with_parameter(name, tensor.item()?)?;
        }
        Ok(activation)
    }
}
