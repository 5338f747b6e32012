//! The catalogue of activations, and how it lowers to the functions underneath.

use wgrad_formula::data::parameters::{self, Entry, Parameter, ParameterRow, Value};
use wgrad_formula::expression::Custom;
use wgrad_formula::formulas::{Function, PointwiseFunction, RowFunction};

use crate::catalogue::catalogue;

/// What the catalogue says of an activation.
struct Row {
    formula: &'static str,
    derivative: &'static str,
    second: Option<&'static str>,
    range: &'static str,
    /// At −∞ and +∞.
    #[cfg_attr(not(test), expect(dead_code, reason = "documentation, which a test compares"))]
    limits: Option<[&'static str; 2]>,
    /// By order.
    bounds: &'static [f32],
}

/// From the rows of the catalogue: the enum, what the rows say, and the functions underneath.
macro_rules! activations {
    (pointwise { $($pointwise:tt)* } rowwise { $($rowwise:tt)* }) => {
        activations! { @rows $($pointwise)* $($rowwise)* }
    };
    (@rows $(
        $(#[$doc:meta])*
        $kind:ident $Variant:ident = $name:ident
        $(
            ( $( $(#[$parameter_doc:meta])* $parameter:ident = $default:expr $(, in $range:expr)? );+ )
            $( => $rule:tt )?
        )?
        {
            formula $formula:literal,
            derivative $derivative:literal,
            $( second $second:literal, )?
            range $values:literal,
            $( limits [$at_minus:literal, $at_plus:literal], )?
            ulp [$bound:literal $(, $next_bound:literal)*],
        }
    )+) => {
        catalogue! {
            "activation", with the names of other libraries in crate::names::ACTIVATIONS;
            /// An activation function g, with its derivative.
            ///
            /// Each variant carries its parameters; the function of the same name returns the activation with the
            /// usual defaults. `Display` and `FromStr` round-trip; capitals and hyphens are accepted on input, and so
            /// are the names and arguments of PyTorch, Hugging Face, Keras, JAX and ONNX: `gelu_new`,
            /// `GELU(approximate='tanh')`. `docs/names.md` in the repository lists them.
            ///
            /// At the kinks, the derivatives are PyTorch's: relu'(0) = 0, leaky_relu'(0) = slope, the others 0 or
            /// as their formula says. At ±∞ every function gives its limit, or NaN if it has none. NaN in gives NaN
            /// out, for each function and derivative. `docs/accuracy.md` in the repository lists the values of all
            /// derivatives at ±∞ and 0.
            ///
            /// In the formulas, y is g(z), σ is the sigmoid, and δ_ij is 1 if i = j, else 0. Formulas, ranges and
            /// limits are exact; the error bounds say how far a result may be from them. The pictures show g and g'
            /// for the default parameters.
            ///
            /// ```
            /// use wgrad::{Activation, Device};
            ///
            /// let device = Device::cpu();
            /// let z = device.tensor(&[-2.0, 0.0, 2.0], [3])?;
            /// let y = Activation::Sigmoid.forward(&z)?;
            /// assert_eq!(y.to_vec()?, [0.11920292, 0.5, 0.8807971]);
            ///
            /// let parsed: Activation = "Leaky-ReLU(slope=0.2)".parse()?;
            /// assert_eq!(parsed, Activation::LeakyRelu { slope: 0.2 });
            /// assert_eq!(parsed.to_string(), "leaky_relu(slope=0.2)");
            /// # Ok::<(), wgrad::Error>(())
            /// ```
            pub enum Activation {
                /// A function of the caller's: see [`from_formula`](Self::from_formula) and
                /// [`from_wgsl`](Self::from_wgsl).
                custom Custom;
                $(
                    $(#[$doc])*
                    ///
                    #[doc = concat!("* Formula: `", $formula, "`")]
                    #[doc = concat!("* Derivative: `", $derivative, "`")]
                    $( #[doc = concat!("* Second derivative: `", $second, "`")] )?
                    #[doc = concat!("* [Range](Self::range): `", $values, "`")]
                    $( #[doc = concat!("* Limits: `", $at_minus, "` at −∞, `", $at_plus, "` at +∞")] )?
                    #[doc = concat!(
                        "* [Error bounds](Self::ulp_bound), by order: ", $bound $(, ", ", $next_bound)*, " ULP"
                    )]
                    ///
                    // Only the documentation embeds the picture, so that the library can be built before
                    // `cargo run --release --example shapes` has drawn it.
                    #[cfg_attr(doc, doc = include_str!(
                        concat!("../../docs/figures/", stringify!($name), ".svg")
                    ))]
                    $Variant = $name $(
                        ( $( $(#[$parameter_doc])* $parameter: f32 = $default $(, in $range)? );+ )
                        $( => $rule )?
                    )?
                )+
            }
        }

        impl Activation {
            const ROWS: &[Row] = &[ $( Row {
                formula: $formula,
                derivative: $derivative,
                second: activations!(@optional $($second)?),
                range: $values,
                limits: activations!(@optional $([$at_minus, $at_plus])?),
                bounds: &[$bound $(, $next_bound)*],
            } ),+ ];

            /// The function of rows that the activation lowers to; `None` for a pointwise one.
            pub(crate) const fn row_function(&self) -> Option<RowFunction> {
                match *self {
                    $( Self::$Variant { .. } => activations!(@row_function $kind $Variant), )+
                    Self::Custom(_) => None,
                }
            }

            /// The function that the activation lowers to.
            pub(crate) fn function(&self) -> Function {
                match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => activations!(
                        @function $kind $Variant { $( $( $parameter ),+ )? }
                    ),
                )+
                    Self::Custom(custom) => Function::Pointwise(function_of(custom)),
                }
            }
        }
    };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
    (@row_function pointwise $Variant:ident) => { None };
    (@row_function rowwise $Variant:ident) => { Some(RowFunction::$Variant) };
    (@function pointwise $Variant:ident $parameters:tt) => {
        Function::Pointwise(PointwiseFunction::$Variant $parameters)
    };
    (@function rowwise $Variant:ident $parameters:tt) => { Function::Rows(RowFunction::$Variant) };
}

wgrad_formula::activations!(activations);

/// The function that a formula is computed as.
fn function_of(custom: Custom) -> PointwiseFunction {
    let equal = custom.equal().filter(|_| custom.is_of_catalogue());
    let equal = equal.and_then(|(name, mut values)| PointwiseFunction::of_name(name, &mut values));
    equal.unwrap_or(PointwiseFunction::Custom(custom))
}

impl Activation {
    /// The activation of a formula. If it equals one of the catalogue, it is computed as that.
    pub(super) fn of_custom(custom: Custom) -> Self {
        let is_valid = custom.equal().is_some_and(|(name, values)| {
            let values: Vec<Value> = values.map(Parameter::value).collect();
            let mut equal = Self::all().find(|activation| activation.name() == name);
            equal.as_mut().is_some_and(|activation| {
                activation.set(&values);
                activation.validate().is_ok()
            })
        });
        Self::Custom(if is_valid { custom.of_catalogue() } else { custom })
    }

    /// What is known of a formula of the caller's besides its texts.
    const CUSTOM: Row =
        Row { formula: "", derivative: "", second: None, range: "", limits: None, bounds: &[] };

    const fn row(&self) -> &'static Row {
        match self.index() {
            Some(index) => &Self::ROWS[index],
            None => &Self::CUSTOM,
        }
    }

    /// The formula, in terms of the parameters' names; for WGSL its text.
    ///
    /// ```
    /// assert_eq!(wgrad::Activation::Relu.formula(), "max(z, 0)");
    /// ```
    pub const fn formula(&self) -> &'static str {
        match self {
            Self::Custom(custom) => custom.text(0),
            _ => self.row().formula,
        }
    }

    /// The formula of the derivative; for row-wise activations, of the Jacobian ∂y_i/∂z_j. Empty for WGSL.
    pub const fn derivative_formula(&self) -> &'static str {
        match self {
            Self::Custom(custom) => custom.text(1),
            _ => self.row().derivative,
        }
    }

    /// The formula of the second derivative; `None` for row-wise activations and for WGSL.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// assert_eq!(Activation::Exponential.second_derivative_formula(), Some("e^z"));
    /// assert_eq!(Activation::Softmax.second_derivative_formula(), None);
    /// ```
    pub const fn second_derivative_formula(&self) -> Option<&'static str> {
        match self {
            Self::Custom(custom) if custom.is_wgsl() => None,
            Self::Custom(custom) => Some(custom.text(2)),
            _ => self.row().second,
        }
    }

    /// The values that g takes for finite arguments, before rounding: a square bracket marks a bound
    /// that is reached, a round one a bound that is not. Decimals are rounded to eight digits.
    ///
    /// The range is for positive slopes, scales, α and b. A rounded result may reach a bound that g
    /// does not reach: sigmoid(200) is 1. Empty for a function of the caller's.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// assert_eq!(Activation::Sigmoid.range(), "(0, 1)");
    /// assert_eq!(Activation::elu().range(), "(−α, ∞)");
    /// ```
    pub const fn range(&self) -> &'static str {
        self.row().range
    }

    /// The documented limits at −∞ and +∞.
    #[cfg(test)]
    const fn limits(&self) -> Option<[&'static str; 2]> {
        self.row().limits
    }

    /// The largest error of a result, in units in the last place (ULP) of the correctly rounded f32:
    /// of g for order 0, g' for 1, g'' for 2. `None` if there is no such function: row-wise
    /// activations have only g.
    ///
    /// The bound holds on every device for the default parameters, if neither the argument nor the
    /// result is subnormal.
    ///
    /// ```
    /// use wgrad::Activation;
    ///
    /// assert_eq!(Activation::Sigmoid.ulp_bound(1), Some(1.0));
    /// assert_eq!(Activation::Sigmoid.ulp_bound(3), None);
    /// assert_eq!(Activation::Softmax.ulp_bound(1), None);
    /// ```
    pub const fn ulp_bound(&self, order: usize) -> Option<f32> {
        let bounds = self.row().bounds;
        if order < bounds.len() { Some(bounds[order]) } else { None }
    }

    /// Whether each output row depends on a whole input row, as in softmax.
    pub const fn is_rowwise(&self) -> bool {
        self.row_function().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Activation;
    use crate::reference;

    /// The catalogue, and activations with other parameters.
    fn documented() -> impl Iterator<Item = Activation> {
        Activation::all().chain([
            Activation::HardTanh { min: -3.0, max: 0.5 },
            Activation::Hardshrink { lambda: 0.25 },
            Activation::Shrink { lambda: 1.0, bias: 1.5 },
            Activation::Threshold { threshold: 0.5, value: -20.0 },
            Activation::ThresholdedRelu { alpha: 0.3 },
            Activation::Elu { alpha: 0.3 },
            Activation::Celu { alpha: 2.0 },
            Activation::ScaledTanh { a: 0.7, b: 2.0 },
            Activation::Swish { beta: 3.0 },
            Activation::Sine { omega: 3.0 },
        ])
    }

    /// The value of an expression of the documentation, which may contain the parameters' names.
    fn number(activation: &Activation, text: &str) -> f64 {
        let number = |text| number(activation, text);
        if let Some((a, b)) = text.split_once(" − ") {
            return number(a) - number(b);
        }
        if let Some(positive) = text.strip_prefix('−') {
            return -number(positive);
        }
        if let Some((a, b)) = text.split_once('·') {
            return number(a) * number(b);
        }
        if let Some((a, b)) = text.split_once('/') {
            return number(a) / number(b);
        }
        let name = match text {
            "∞" => return f64::INFINITY,
            "π" => return std::f64::consts::PI,
            "λ" if *activation == Activation::Selu => return 1.050_700_987_355_480_5,
            "α" if *activation == Activation::Selu => return 1.673_263_242_354_377_2,
            "α" => "alpha",
            "β" => "beta",
            "θ" => "threshold",
            "λ" => "lambda",
            name => name,
        };
        let parameters = activation.parameters();
        let parameter = parameters.iter().find(|parameter| parameter.0 == name);
        parameter.map_or_else(
            || text.parse().unwrap(),
            |(_, value)| value.parse::<f32>().unwrap().into(),
        )
    }

    /// An interval, with whether each bound belongs to it.
    struct Interval {
        bounds: [f64; 2],
        closed: [bool; 2],
    }

    impl Interval {
        fn parse(activation: &Activation, text: &str) -> Self {
            let inner = &text[1..text.len() - 1];
            let (low, high) = inner.split_once(", ").unwrap_or((inner, inner));
            let bounds = [low, high].map(|bound| number(activation, bound));
            let closed = [text.starts_with(['[', '{']), text.ends_with([']', '}'])];
            let open = [text.starts_with('('), text.ends_with(')')];
            assert!(closed[0] != open[0] && closed[1] != open[1], "{text} is no interval");
            Self { bounds, closed }
        }

        /// Whether a value lies inside, up to the precision with which the bounds are written.
        fn contains(&self, value: f64, rounded: bool) -> bool {
            let inside = |distance: f64, closed: bool| {
                if closed || rounded { distance >= -1e-8 } else { distance > 0.0 }
            };
            inside(value - self.bounds[0], self.closed[0])
                && inside(self.bounds[1] - value, self.closed[1])
        }
    }

    /// Arguments of every magnitude, with their values; the arguments up to 8 are close together.
    fn sweep(activation: &Activation) -> Vec<(f64, f64)> {
        let close = (-4096..=4096).map(|i| f64::from(i) / 512.0);
        let powers = (-140..127).map(|exponent| f64::from(exponent).exp2());
        let powers = powers.flat_map(|power| [power, -power, 1.0 - power]);
        let arguments: Vec<f64> = close.chain(powers).collect();
        if activation.is_rowwise() {
            let rows = arguments.iter().flat_map(|&z| [vec![z], vec![z, 0.0]]);
            return rows.map(|row| (row[0], reference::forward(activation, &row, 2)[0])).collect();
        }
        let values = reference::forward(activation, &arguments, 1);
        // NaN means outside the domain; infinity, at its bounds or overflow.
        arguments.into_iter().zip(values).filter(|(_, y)| y.is_finite()).collect()
    }

    #[test]
    fn ranges_hold_the_values_of_the_reference_and_no_more() {
        for activation in documented() {
            let range = activation.range();
            let intervals: Vec<Interval> =
                range.split(" ∪ ").map(|text| Interval::parse(&activation, text)).collect();
            let values = sweep(&activation);
            for &(z, y) in &values {
                // In the tails, f64 rounds to bounds that the function does not reach.
                let rounded = z.abs() > 8.0;
                let inside = intervals.iter().any(|interval| interval.contains(y, rounded));
                assert!(inside, "{activation} at {z} is {y}, not in {range}");
            }
            for interval in &intervals {
                for (bound, closed) in interval.bounds.into_iter().zip(interval.closed) {
                    let reached = |&(z, y): &(f64, f64)| match (bound.is_finite(), closed) {
                        (true, true) => z.abs() <= 8.0 && (y - bound).abs() < 1e-5,
                        (true, false) => (y - bound).abs() < 0.01,
                        (false, _) => y * bound.signum() > 30.0,
                    };
                    assert!(values.iter().any(reached), "{activation} is never near {bound}");
                }
            }
        }
    }

    #[test]
    fn limits_are_those_of_the_reference() {
        for activation in documented() {
            let Some(limits) = activation.limits() else {
                assert!(activation.is_rowwise(), "{activation} has no limits");
                continue;
            };
            for (z, text) in [f64::NEG_INFINITY, f64::INFINITY].into_iter().zip(limits) {
                let (found, limit) =
                    (reference::forward(&activation, &[z], 1)[0], number(&activation, text));
                let same = found == limit
                    || found.is_nan() && limit.is_nan()
                    || (found - limit).abs() < 1e-12;
                assert!(same, "{activation} at {z} is {found}, not {text}");
            }
        }
    }

    #[test]
    fn pointwise_activations_have_two_formulas_of_derivatives() {
        for activation in Activation::all() {
            let second = activation.second_derivative_formula();
            assert_eq!(second.is_none(), activation.is_rowwise(), "{activation}");
        }
    }
}
