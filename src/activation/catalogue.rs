//! The catalogue of activations: one row each.

use crate::catalogue::{Constant, Parameter, catalogue};
use crate::reference::activations as formulas;
use crate::reference::{Pointwise, Real, Rowwise};

/// The code that a pointwise activation is handed to, in the precision R.
pub(crate) trait PointwiseVisitor<R: Real> {
    type Output;
    fn visit<F: Pointwise<R>>(self, formula: F) -> Self::Output;
}

/// The code that a row-wise activation is handed to, in the precision R.
pub(crate) trait RowwiseVisitor<R: Real> {
    type Output;
    fn visit<F: Rowwise<R>>(self, formula: F) -> Self::Output;
}

/// From the rows of the catalogue: the enum, its texts, its WGSL and the way to its formulas.
macro_rules! activations {
    (
        $(#[$enum_doc:meta])*
        pub enum Activation {
            $(
                $(#[$doc:meta])*
                $kind:ident $Variant:ident = $name:ident
                $( (
                    $( $(#[$parameter_doc:meta])* $parameter:ident = $default:expr $(, in $range:expr)? );+
                ) $(=> [$rule:expr, $reason:literal])? )?,
                $formula:literal, $derivative:literal $(, $second:literal)?,
                range $range_of_values:literal $(, limits [ $at_minus:literal, $at_plus:literal ])?,
                ulp [ $bound:literal $(, $next_bound:literal)* ]
            );+ $(;)?
        }
    ) => {
        catalogue! {
            "activation"
            $(#[$enum_doc])*
            pub enum Activation {
                $(
                    $(#[$doc])*
                    ///
                    #[doc = concat!("* Formula: `", $formula, "`")]
                    #[doc = concat!("* Derivative: `", $derivative, "`")]
                    $( #[doc = concat!("* Second derivative: `", $second, "`")] )?
                    #[doc = concat!("* [Range](Self::range): `", $range_of_values, "`")]
                    $( #[doc = concat!("* Limits: `", $at_minus, "` at −∞, `", $at_plus, "` at +∞")] )?
                    #[doc = concat!(
                        "* [Error bounds](Self::ulp_bound), by order: ", $bound $(, ", ", $next_bound)*, " ULP"
                    )]
                    ///
                    // Only the documentation holds the picture, so that the library can be built before
                    // `cargo run --release --example shapes` has drawn it.
                    #[cfg_attr(doc, doc = include_str!(
                        concat!("../../docs/figures/", stringify!($name), ".svg")
                    ))]
                    $Variant = $name $(
                        ( $( $(#[$parameter_doc])* $parameter: f32 = $default $(, in $range)? );+ )
                        $(=> [$rule, $reason])?
                    )?
                )+
            }
        }

        impl Activation {
            /// The formula, in the names of its parameters.
            ///
            /// ```
            /// assert_eq!(wgrad::Activation::Relu.formula(), "max(z, 0)");
            /// ```
            pub const fn formula(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => $formula, )+ }
            }

            /// The formula of the derivative; for row-wise activations, of the Jacobian ∂y_i/∂z_j.
            pub const fn derivative_formula(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => $derivative, )+ }
            }

            /// The formula of the second derivative; nothing for row-wise activations.
            ///
            /// ```
            /// use wgrad::Activation;
            ///
            /// assert_eq!(Activation::Exponential.second_derivative_formula(), Some("e^z"));
            /// assert_eq!(Activation::Softmax.second_derivative_formula(), None);
            /// ```
            pub const fn second_derivative_formula(&self) -> Option<&'static str> {
                match self { $( Self::$Variant { .. } => activations!(@optional $($second)?), )+ }
            }

            /// The values that g takes for finite arguments, before rounding: a square bracket belongs to
            /// a bound that is reached, a round one to a bound that is not. Decimals are rounded to eight
            /// digits.
            ///
            /// It is for slopes, scales, α and b that are positive. Rounding may reach what g does not:
            /// sigmoid(200) is 1.
            ///
            /// ```
            /// use wgrad::Activation;
            ///
            /// assert_eq!(Activation::Sigmoid.range(), "(0, 1)");
            /// assert_eq!(Activation::elu().range(), "(−α, ∞)");
            /// ```
            pub const fn range(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => $range_of_values, )+ }
            }

            /// What the documentation says of −∞ and +∞.
            #[cfg(test)]
            const fn limits(&self) -> Option<[&'static str; 2]> {
                match self { $(
                    Self::$Variant { .. } => activations!(@optional $([$at_minus, $at_plus])?),
                )+ }
            }

            /// The most that a result differs from the exact one, in units in the last place (ULP) of the
            /// correctly rounded f32: of g for order 0, g' for 1, g'' for 2. Nothing where there is no
            /// such function: row-wise activations have g alone.
            ///
            /// It holds on every device for the field's default parameters, where neither the argument nor
            /// the result is subnormal.
            ///
            /// ```
            /// use wgrad::Activation;
            ///
            /// assert_eq!(Activation::Sigmoid.ulp_bound(1), Some(1.0));
            /// assert_eq!(Activation::Sigmoid.ulp_bound(3), None);
            /// assert_eq!(Activation::Softmax.ulp_bound(1), None);
            /// ```
            pub const fn ulp_bound(&self, order: usize) -> Option<f32> {
                let bounds: &[f32] = match self {
                    $( Self::$Variant { .. } => &[ $bound $(, $next_bound)* ], )+
                };
                if order < bounds.len() { Some(bounds[order]) } else { None }
            }

            /// The WGSL functions of the activation.
            pub(crate) const fn wgsl(&self) -> &'static str {
                match self { $(
                    Self::$Variant { .. } => include_str!(
                        concat!("../../shaders/activations/", stringify!($name), ".wgsl")
                    ),
                )+ }
            }

            /// The parameters, for the `override` constants of the WGSL: g_slope is slope.
            pub(crate) fn constants(&self) -> Vec<Constant> {
                let all: Vec<Option<Constant>> = match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => vec![
                        $( $( $parameter.constant(concat!("g_", stringify!($parameter)), $default) ),+ )?
                    ],
                )+ };
                all.into_iter().flatten().collect()
            }

            /// Whether each output row depends on a whole input row, as in softmax.
            pub const fn is_rowwise(&self) -> bool {
                match self { $( Self::$Variant { .. } => activations!(@is_rowwise $kind), )+ }
            }

            /// Hands the formula to the visitor; nothing where the activation is row-wise.
            pub(crate) fn visit_pointwise<R: Real, V: PointwiseVisitor<R>>(&self, visitor: V) -> Option<V::Output> {
                match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => activations!(
                        @visit pointwise $kind visitor,
                        formulas::$Variant { $( $( $parameter: R::from_f64(f64::from($parameter)) ),+ )? }
                    ),
                )+ }
            }

            /// Hands the formula to the visitor; nothing where the activation is pointwise.
            pub(crate) fn visit_rowwise<R: Real, V: RowwiseVisitor<R>>(&self, visitor: V) -> Option<V::Output> {
                match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => activations!(
                        @visit rowwise $kind visitor,
                        formulas::$Variant { $( $( $parameter: R::from_f64(f64::from($parameter)) ),+ )? }
                    ),
                )+ }
            }
        }
    };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
    (@is_rowwise pointwise) => { false };
    (@is_rowwise rowwise) => { true };
    (@visit pointwise pointwise $visitor:ident, $formula:expr) => { Some($visitor.visit($formula)) };
    (@visit rowwise rowwise $visitor:ident, $formula:expr) => { Some($visitor.visit($formula)) };
    (@visit $wanted:ident $kind:ident $visitor:ident, $formula:expr) => {{
        let _ = $formula;
        None
    }};
}

activations! {
    /// An activation function g, with its derivative.
    ///
    /// Each variant carries its parameters; the function of the same name gives the field's
    /// defaults. `Display` and `FromStr` round-trip; capitals and hyphens are accepted on input.
    ///
    /// At the kinks the derivatives are PyTorch's: relu'(0) = 0, leaky_relu'(0) = slope, the others 0 or
    /// as their formula says. At ±∞ every
    /// function gives its limit, NaN where it has none. NaN in gives NaN out, for each function and
    /// derivative. `docs/accuracy.md` in the repository has the values of all derivatives at ±∞ and 0.
    ///
    /// In the formulas y is g(z), σ the sigmoid, and δ_ij is 1 where i = j and 0 elsewhere. Formulas,
    /// ranges and limits are those of exact arithmetic; the error bounds say how far from it a result may
    /// be. The pictures show g and g' for the default parameters.
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
        /// The identity, for a linear output.
        pointwise Identity = identity, "z", "1",
        "0", range "(−∞, ∞)", limits ["−∞", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// The rectified linear unit (Fukushima 1969; Nair and Hinton 2010).
        pointwise Relu = relu, "max(z, 0)", "1 if z > 0 else 0",
        "0", range "[0, ∞)", limits ["0", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// The rectified linear unit with a slope on the negative side (Maas, Hannun and Ng 2013).
        pointwise LeakyRelu = leaky_relu(
            /// The slope for z ≤ 0.
            slope = 0.01
        ), "z if z > 0 else slope·z", "1 if z > 0 else slope",
        "0", range "(−∞, ∞)", limits ["−∞", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// The rectified linear unit with a learned slope on the negative side (He, Zhang, Ren and Sun 2015);
        /// here the slope is given.
        pointwise Prelu = prelu(
            /// The slope for z ≤ 0.
            weight = 0.25
        ), "z if z > 0 else weight·z", "1 if z > 0 else weight",
        "0", range "(−∞, ∞)", limits ["−∞", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// The randomised leaky rectified linear unit (Xu, Wang, Chen and Li 2015) as it is evaluated: at its
        /// mean slope.
        pointwise Rrelu = rrelu(
            /// The smallest slope that is drawn in training.
            lower = 0.125;
            /// The greatest slope that is drawn in training.
            upper = 0.333_333_34
        ) => [lower <= upper, "lower must not be greater than upper"],
        "z if z > 0 else ½(lower + upper)·z", "1 if z > 0 else ½(lower + upper)",
        "0", range "(−∞, ∞)", limits ["−∞", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// The rectified linear unit, cut off at 6 (Krizhevsky 2010).
        pointwise Relu6 = relu6, "min(max(z, 0), 6)", "1 if 0 < z < 6 else 0",
        "0", range "[0, 6]", limits ["0", "6"],
        ulp [0.5, 0.5, 0.5];

        /// A line between two bounds, tanh's piecewise linear stand-in (Collobert 2004).
        pointwise HardTanh = hard_tanh(
            /// The least output.
            min = -1.0;
            /// The greatest output.
            max = 1.0
        ) => [min <= max, "min must not be greater than max"],
        "min(max(z, min), max)", "1 if min < z < max else 0",
        "0", range "[min, max]", limits ["min", "max"],
        ulp [0.5, 0.5, 0.5];

        /// The sigmoid's piecewise linear stand-in (Courbariaux, Bengio and David 2015): PyTorch's by
        /// default, ONNX's and Keras 2's with slope = 0.2. The default is relu6(z + 3)/6 to the last digit: its
        /// slope counts as 1/6, which is no f32.
        pointwise HardSigmoid = hard_sigmoid(
            /// The slope between the bounds.
            slope = 0.166_666_67;
            /// The value at 0.
            offset = 0.5
        ), "min(max(slope·z + offset, 0), 1)", "slope if 0 < slope·z + offset < 1 else 0",
        "0", range "[0, 1]", limits ["0", "1"],
        ulp [1.0, 0.5, 0.5];

        /// `z` times [hard_sigmoid](Self::HardSigmoid), swish's piecewise stand-in (Howard et al. 2019). It is
        /// least at z = −1.5.
        pointwise HardSwish = hard_swish,
        "z·min(max(z/6 + ½, 0), 1)", "0 if z ≤ −3, 1 if z ≥ 3, else z/3 + ½",
        "1/3 if −3 < z < 3 else 0", range "[−0.375, ∞)", limits ["0", "∞"],
        ulp [3.0, 3.0, 0.5];

        /// Pulls every number towards 0 by λ (Donoho 1995).
        pointwise Softshrink = softshrink(
            /// The distance λ.
            lambda = 0.5, in 0.0..=f32::MAX
        ), "z − λ if z > λ, z + λ if z < −λ, else 0", "1 if |z| > λ else 0",
        "0", range "(−∞, ∞)", limits ["−∞", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// Makes small numbers 0 (Donoho and Johnstone 1994).
        pointwise Hardshrink = hardshrink(
            /// The greatest magnitude that becomes 0.
            lambda = 0.5, in 0.0..=f32::MAX
        ), "z if |z| > λ else 0", "1 if |z| > λ else 0",
        "0", range "(−∞, −λ) ∪ {0} ∪ (λ, ∞)", limits ["−∞", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// ONNX's shrink: makes small numbers 0 and moves the others towards it.
        pointwise Shrink = shrink(
            /// The greatest magnitude that becomes 0.
            lambda = 0.5, in 0.0..=f32::MAX;
            /// The distance that the others are moved.
            bias = 0.0
        ), "z − bias if z > λ, z + bias if z < −λ, else 0", "1 if |z| > λ else 0",
        "0", range "(−∞, bias − λ) ∪ {0} ∪ (λ − bias, ∞)", limits ["−∞", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// Another value for all numbers up to a threshold.
        pointwise Threshold = threshold(
            /// The threshold θ.
            threshold = 0.0;
            /// What takes the place of numbers up to it.
            value = 0.0
        ), "z if z > θ else value", "1 if z > θ else 0",
        "0", range "{value} ∪ (θ, ∞)", limits ["value", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// Zero for all numbers up to a threshold, as in ONNX (Konda, Memisevic and Krueger 2014).
        pointwise ThresholdedRelu = thresholded_relu(
            /// The threshold α.
            alpha = 1.0
        ), "z if z > α else 0", "1 if z > α else 0",
        "0", range "{0} ∪ (α, ∞)", limits ["0", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// The exponential linear unit (Clevert, Unterthiner and Hochreiter 2016).
        pointwise Elu = elu(
            /// The limit −α of the negative side.
            alpha = 1.0
        ), "z if z > 0 else α·(e^z − 1)", "1 if z > 0 else α·e^z",
        "α·e^z if z < 0 else 0", range "(−α, ∞)", limits ["−α", "∞"],
        ulp [1.0, 1.0, 1.0];

        /// The scaled exponential linear unit (Klambauer, Unterthiner, Mayr and Hochreiter 2017):
        /// λ = 1.0507009873554805, α = 1.6732632423543772.
        pointwise Selu = selu, "λ·z if z > 0 else λ·α·(e^z − 1)", "λ if z > 0 else λ·α·e^z",
        "λ·α·e^z if z < 0 else 0", range "(−λ·α, ∞)", limits ["−λ·α", "∞"],
        ulp [2.0, 2.0, 2.0];

        /// The exponential function.
        pointwise Exponential = exponential, "e^z", "e^z",
        "e^z", range "(0, ∞)", limits ["0", "∞"],
        ulp [1.0, 1.0, 1.0];

        /// The softsign function (Bergstra, Desjardins, Lamblin and Bengio 2009).
        pointwise Softsign = softsign, "z / (1 + |z|)", "1 / (1 + |z|)²",
        "−2·sign(z) / (1 + |z|)³", range "(−1, 1)", limits ["−1", "1"],
        ulp [1.0, 3.0, 5.0];

        /// The logarithm of the sigmoid.
        pointwise LogSigmoid = log_sigmoid, "−ln(1 + e^−z)", "1 / (1 + e^z)",
        "−σ(z)·σ(−z)", range "(−∞, 0)", limits ["−∞", "0"],
        ulp [2.0, 1.0, 1.0];

        /// The logistic function (Verhulst 1838), the inverse of the [logit](Self::Logit).
        pointwise Sigmoid = sigmoid, "1 / (1 + e^−z)", "y·(1 − y)",
        "y·(1 − y)·(1 − 2y)", range "(0, 1)", limits ["0", "1"],
        ulp [1.0, 1.0, 3.0];

        /// The hyperbolic tangent.
        pointwise Tanh = tanh, "tanh z", "1 − y²",
        "−2y·(1 − y²)", range "(−1, 1)", limits ["−1", "1"],
        ulp [1.5, 1.0, 3.0];

        /// The rectified linear unit, squared (So et al. 2021).
        pointwise SquaredRelu = squared_relu, "z² if z > 0 else 0", "2z if z > 0 else 0",
        "2 if z > 0 else 0", range "[0, ∞)", limits ["0", "∞"],
        ulp [0.5, 0.5, 0.5];

        /// The continuously differentiable exponential linear unit (Barron 2017).
        pointwise Celu = celu(
            /// The limit −α of the negative side.
            alpha = 1.0
        ) => [alpha != 0.0, "alpha must not be 0"],
        "z if z > 0 else α·(e^(z/α) − 1)", "1 if z > 0 else e^(z/α)",
        "e^(z/α)/α if z < 0 else 0", range "(−α, ∞)", limits ["−α", "∞"],
        ulp [1.0, 1.0, 1.0];

        /// The bell curve.
        pointwise Gaussian = gaussian, "e^(−z²)", "−2z·e^(−z²)",
        "(4z² − 2)·e^(−z²)", range "(0, 1]", limits ["0", "0"],
        ulp [2.0, 2.0, 4.0];

        /// The smooth rectifier (Dugas et al. 2001); past the threshold the line z, as in PyTorch.
        pointwise Softplus = softplus(
            /// The sharpness β.
            beta = 1.0;
            /// Where β·z is greater, the result is z.
            threshold = 20.0
        ) => [beta != 0.0, "beta must not be 0"],
        "ln(1 + e^(β·z)) / β", "1 / (1 + e^(−β·z))",
        "β·σ(β·z)·σ(−β·z)", range "(0, ∞)", limits ["0", "∞"],
        ulp [2.0, 1.0, 1.0];

        /// Tanh, scaled: LeCun's by default, whose second derivative is greatest at ±1 (LeCun, Bottou,
        /// Orr and Müller 1998).
        pointwise ScaledTanh = scaled_tanh(
            /// The limit at +∞.
            a = 1.7159;
            /// The scale of the argument.
            b = 0.666_666_7
        ), "a·tanh(b·z)", "a·b·(1 − tanh²(b·z))",
        "−2a·b²·tanh(b·z)·(1 − tanh²(b·z))", range "(−a, a)", limits ["−a", "a"],
        ulp [4.0, 3.0, 4.0];

        /// What tanh takes away.
        pointwise Tanhshrink = tanhshrink, "z − tanh z", "tanh² z",
        "2·tanh z·(1 − tanh² z)", range "(−∞, ∞)", limits ["−∞", "∞"],
        ulp [4.0, 3.0, 3.0];

        /// The arctangent.
        pointwise Arctan = arctan, "arctan z", "1 / (1 + z²)",
        "−2z / (1 + z²)²", range "(−π/2, π/2)", limits ["−π/2", "π/2"],
        ulp [1.5, 3.0, 4.0];

        /// The logit (Berkson 1944), [sigmoid](Self::Sigmoid)'s inverse: on (0, 1), −∞ at 0, ∞ at 1, NaN
        /// outside of [0, 1].
        pointwise Logit = logit, "ln(z / (1 − z))", "1 / (z·(1 − z))",
        "(2z − 1) / (z·(1 − z))²", range "(−∞, ∞)", limits ["NaN", "NaN"],
        ulp [2.0, 3.0, 8.0];

        /// The sigmoid-weighted linear unit (Elfwing, Uchibe and Doya 2018), also known as swish. It is least
        /// at z = −1.278.
        pointwise Silu = silu, "z / (1 + e^−z)", "σ(z)·(1 + z·σ(−z))",
        "σ(z)·σ(−z)·(2 − z·tanh(z/2))", range "[−0.27846454, ∞)", limits ["0", "∞"],
        ulp [2.0, 3.0, 5.0];

        /// Swish with a sharpness (Ramachandran, Zoph and Le 2017).
        pointwise Swish = swish(
            /// The sharpness β.
            beta = 1.0
        ), "z / (1 + e^(−β·z))", "σ(β·z)·(1 + β·z·σ(−β·z))",
        "β·σ(β·z)·σ(−β·z)·(2 − β·z·tanh(β·z/2))", range "[−0.27846454/β, ∞)", limits ["0", "∞"],
        ulp [2.0, 3.0, 5.0];

        /// The Gaussian error linear unit's approximation by a sigmoid (Hendrycks and Gimpel 2016).
        pointwise QuickGelu = quick_gelu, "z / (1 + e^(−1.702·z))", "σ(1.702·z)·(1 + 1.702·z·σ(−1.702·z))",
        "1.702·σ(u)·σ(−u)·(2 − u·tanh(u/2)) with u = 1.702·z", range "[−0.16361019, ∞)", limits ["0", "∞"],
        ulp [2.0, 3.0, 6.0];

        /// The Gaussian error linear unit (Hendrycks and Gimpel 2016): z times the normal distribution
        /// function Φ.
        pointwise Gelu = gelu, "z·Φ(z) = ½z·(1 + erf(z/√2))", "Φ(z) + z·e^(−z²/2)/√(2π)",
        "(2 − z²)·e^(−z²/2)/√(2π)", range "[−0.16997121, ∞)", limits ["0", "∞"],
        ulp [3.0, 3.0, 5.0];

        /// [Gelu](Self::Gelu)'s approximation by tanh (Hendrycks and Gimpel 2016), PyTorch's
        /// `approximate="tanh"`.
        pointwise GeluTanh = gelu_tanh,
        "½z·(1 + tanh(√(2/π)·(z + 0.044715·z³)))",
        "σ(u)·(1 + z·u'·σ(−u)) with u = 2·√(2/π)·(z + 0.044715·z³)",
        "σ(u)·σ(−u)·(2u' + z·(u'' − u'²·tanh(u/2)))", range "[−0.17004075, ∞)", limits ["0", "∞"],
        ulp [2.0, 4.0, 8.0];

        /// Mish (Misra 2019).
        pointwise Mish = mish, "z·tanh(ln(1 + e^z))", "ω + z·σ(z)·(1 − ω²) with ω = tanh(ln(1 + e^z))",
        "4e·(2d·(1 + e) + z·(2 + 2e − 3e² − 2e³))/d³ with e = e^z, d = e² + 2e + 2", range "[−0.30884342, ∞)", limits ["0", "∞"],
        ulp [3.0, 3.0, 8.0];

        /// The linearly scaled tanh (Roy, Manna, Dubey and Chaudhuri 2019).
        pointwise Lisht = lisht, "z·tanh z", "tanh z + z·(1 − tanh² z)",
        "2·(1 − tanh² z)·(1 − z·tanh z)", range "[0, ∞)", limits ["∞", "∞"],
        ulp [2.0, 2.0, 5.0];

        /// A smooth rectifier without exponentials (Barron 2021).
        pointwise Squareplus = squareplus(
            /// The width of the bend, squared.
            b = 4.0, in 0.0..=f32::MAX
        ), "½(z + √(z² + b))", "½(1 + z/√(z² + b))",
        "½b / (z² + b)^(3/2)", range "(0, ∞)", limits ["0", "∞"],
        ulp [4.0, 4.0, 6.0];

        /// The sine, for implicit neural representations (Sitzmann et al. 2020). NaN at ±∞, as it has no
        /// limit there.
        pointwise Sine = sine(
            /// The angular frequency ω.
            omega = 1.0
        ), "sin(ω·z)", "ω·cos(ω·z)",
        "−ω²·sin(ω·z)", range "[−1, 1]", limits ["NaN", "NaN"],
        ulp [2.0, 2.0, 2.0];

        /// A line that waves (Liu, Hartwig and Ueda 2020). Its derivatives are NaN at ±∞.
        pointwise Snake = snake(
            /// The frequency a; for a = 0 the line alone.
            a = 1.0
        ), "z + sin²(a·z)/a", "1 + sin(2a·z)",
        "2a·cos(2a·z)", range "(−∞, ∞)", limits ["−∞", "∞"],
        ulp [3.0, 4.0, 4.0];

        /// Softmax over the last axis: positive numbers that add up to one (Bridle 1990).
        ///
        /// A row that holds NaN or +∞, or only −∞, becomes NaN, as in PyTorch.
        rowwise Softmax = softmax, "e^z_i / Σ_j e^z_j", "y_i·(δ_ij − y_j)",
        range "(0, 1]",
        ulp [4.0];

        /// The logarithm of [softmax](Self::Softmax) over the last axis.
        ///
        /// A row that holds NaN or +∞, or only −∞, becomes NaN, as in PyTorch.
        rowwise LogSoftmax = log_softmax, "z_i − ln Σ_j e^z_j", "δ_ij − e^y_j",
        range "(−∞, 0]",
        ulp [4.0];

        /// [Softmax](Self::Softmax) of −z over the last axis: the smallest element gets the most.
        ///
        /// A row that holds NaN or −∞, or only +∞, becomes NaN.
        rowwise Softmin = softmin, "e^−z_i / Σ_j e^−z_j", "y_i·(y_j − δ_ij)",
        range "(0, 1]",
        ulp [4.0];

        /// The projection of the last axis onto the simplex (Martins and Astudillo 2016): numbers from 0
        /// on that add up to one, most of them 0. S is where they are not, τ what makes the sum one.
        ///
        /// A row that holds NaN or +∞, or only −∞, becomes NaN. Where an output is small, a rounding of
        /// the threshold τ is large beside it: the bound is in units of 2⁻²⁴, the last place of 1.
        rowwise Sparsemax = sparsemax, "max(z_i − τ, 0)", "(δ_ij − 1/|S|) for i, j in S, else 0",
        range "[0, 1]",
        ulp [2.0];
    }
}

#[cfg(test)]
mod tests {
    use super::Activation;
    use crate::reference;

    /// The catalogue, with other parameters too.
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

    /// A number as the documentation writes it, in the names of the parameters.
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

    /// An interval, and whether each bound belongs to it.
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

        /// Whether a value lies inside, up to the digits that the bounds are written with.
        fn contains(&self, value: f64, rounded: bool) -> bool {
            let inside = |distance: f64, closed: bool| {
                if closed || rounded { distance >= -1e-8 } else { distance > 0.0 }
            };
            inside(value - self.bounds[0], self.closed[0])
                && inside(self.bounds[1] - value, self.closed[1])
        }
    }

    /// Arguments of every size, with their values; the ones up to 8 lie close together.
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
        // NaN is outside of the domain, infinity at its bounds or a value that overflows.
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
                // In the tails an f64 reaches what the function does not.
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
