//! Losses that are defined by a formula.

use wgrad_formula::expression::{Custom, Of, parse_call};

use super::Loss;
use crate::error::Result;

impl Loss {
    /// The loss whose term for each element is a formula in the output `y`, the target `t` and the named parameters.
    /// It consists of what [`Activation::from_formula`](crate::Activation::from_formula) allows; its gradient follows
    /// from it.
    ///
    /// ```
    /// use wgrad::{Device, Loss, Reduction};
    ///
    /// let cauchy = Loss::from_formula("c^2 / 2 * log(1 + ((y - t) / c)^2)", &[("c", 2.0)])?;
    /// let device = Device::cpu();
    /// let (y, t) = (device.tensor(&[1.0, 5.0], [2])?, device.tensor(&[0.0, 5.0], [2])?);
    /// let loss = cauchy.forward(&y, &t, Reduction::Sum)?.item()?;
    /// assert!((loss - 2.0 * 1.25_f32.ln()).abs() < 1e-6);
    /// assert_eq!(cauchy.gradient(&y, &t, Reduction::Sum)?.to_vec()?, [0.8, 0.0]);
    /// assert_eq!(cauchy.to_string().parse::<Loss>()?, cauchy);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidFormula`](crate::Error::InvalidFormula) points at the place at which the text is not a formula;
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter) if a parameter is not an identifier, not finite, or not in the formula.
    pub fn from_formula(formula: &str, parameters: &[(&str, f32)]) -> Result<Self> {
        Custom::new(Of::Loss, formula, parameters).map(Self::Custom)
    }

    /// The same formula under a name of its own, which [`name`](Self::name) returns.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a loss of the catalogue; [`Error::InvalidParameter`](crate::Error::InvalidParameter) if the name is not an
    /// identifier.
    pub fn named(&self, name: &str) -> Result<Self> {
        self.custom("another name")?.named(name).map(Self::Custom)
    }

    /// The same formula with another value for one of its parameters.
    ///
    /// # Errors
    /// [`Error::Unsupported`](crate::Error::Unsupported) for a loss of the catalogue, whose options are fields;
    /// [`Error::InvalidParameter`](crate::Error::InvalidParameter) if the formula has no such parameter or the value is not finite.
    pub fn with_parameter(&self, name: &str, value: f32) -> Result<Self> {
        self.custom("a parameter by its name")?.with(name, value).map(Self::Custom)
    }

    /// The formula in LaTeX: the loss for order 0, its gradient for 1; `None` for another order, and for losses of the
    /// catalogue.
    pub fn to_latex(&self, order: usize) -> Option<String> {
        match self {
            Self::Custom(custom) => custom.derived(order).map(|derived| derived.latex.clone()),
            _ => None,
        }
    }

    /// Reads what `Display` prints for a formula; `None` for another text.
    pub(super) fn parse_custom(text: &str) -> Option<Result<Self>> {
        parse_call(Of::Loss, text).map(|custom| custom.map(Self::Custom))
    }
}
