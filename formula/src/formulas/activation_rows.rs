//! The catalogue of activations as rows of data.

/// Hands the rows of the catalogue of activations to a macro.
///
/// A row has the documentation, the variant, the canonical name, the parameters with their
/// documentation, default and range, and a rule for the parameters, with the message for values
/// that break it; then the formulas of g, g' and g'', the range, the limits at −∞ and +∞, and the
/// error bounds of g, g' and g''.
#[doc(hidden)]
#[macro_export]
macro_rules! activations {
    ($callback:ident) => {
        $callback! {
            pointwise {
                /// The identity, for a linear output.
                pointwise Identity = identity {
                    formula "z",
                    derivative "1",
                    second "0",
                    range "(−∞, ∞)",
                    limits ["−∞", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// The rectified linear unit (Fukushima 1969; Nair and Hinton 2010).
                pointwise Relu = relu {
                    formula "max(z, 0)",
                    derivative "1 if z > 0 else 0",
                    second "0",
                    range "[0, ∞)",
                    limits ["0", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// The rectified linear unit with a slope on the negative side (Maas, Hannun and Ng 2013).
                pointwise LeakyRelu = leaky_relu(
                    /// The slope for z ≤ 0.
                    slope = 0.01
                ) {
                    formula "z if z > 0 else slope·z",
                    derivative "1 if z > 0 else slope",
                    second "0",
                    range "(−∞, ∞)",
                    limits ["−∞", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// The rectified linear unit with a learned slope on the negative side (He, Zhang, Ren and Sun 2015);
                /// here the slope is given.
                pointwise Prelu = prelu(
                    /// The slope for z ≤ 0.
                    weight = 0.25
                ) {
                    formula "z if z > 0 else weight·z",
                    derivative "1 if z > 0 else weight",
                    second "0",
                    range "(−∞, ∞)",
                    limits ["−∞", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// The randomised leaky rectified linear unit (Xu, Wang, Chen and Li 2015) as in evaluation: with its
                /// mean slope.
                pointwise Rrelu = rrelu(
                    /// The smallest slope that is drawn in training.
                    lower = 0.125;
                    /// The greatest slope that is drawn in training.
                    upper = 0.333_333_34
                ) => [lower <= upper, "lower must not be greater than upper"] {
                    formula "z if z > 0 else ½(lower + upper)·z",
                    derivative "1 if z > 0 else ½(lower + upper)",
                    second "0",
                    range "(−∞, ∞)",
                    limits ["−∞", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// The rectified linear unit, cut off at 6 (Krizhevsky 2010).
                pointwise Relu6 = relu6 {
                    formula "min(max(z, 0), 6)",
                    derivative "1 if 0 < z < 6 else 0",
                    second "0",
                    range "[0, 6]",
                    limits ["0", "6"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// A line between two bounds, a piecewise linear approximation of tanh (Collobert 2004).
                pointwise HardTanh = hard_tanh(
                    /// The least output.
                    min = -1.0;
                    /// The greatest output.
                    max = 1.0
                ) => [min <= max, "min must not be greater than max"] {
                    formula "min(max(z, min), max)",
                    derivative "1 if min < z < max else 0",
                    second "0",
                    range "[min, max]",
                    limits ["min", "max"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// A piecewise linear approximation of the sigmoid (Courbariaux, Bengio and David 2015): PyTorch's by
                /// default, ONNX's and Keras 2's with slope = 0.2. The default is relu6(z + 3)/6 to the last digit: its
                /// slope counts as 1/6, which is not an f32.
                pointwise HardSigmoid = hard_sigmoid(
                    /// The slope between the bounds.
                    slope = 0.166_666_67;
                    /// The value at 0.
                    offset = 0.5
                ) {
                    formula "min(max(slope·z + offset, 0), 1)",
                    derivative "slope if 0 < slope·z + offset < 1 else 0",
                    second "0",
                    range "[0, 1]",
                    limits ["0", "1"],
                    ulp [1.0, 0.5, 0.5],
                }

                /// `z` times [hard_sigmoid](Self::HardSigmoid), a piecewise approximation of swish (Howard et al. 2019).
                /// Its minimum is at z = −1.5.
                pointwise HardSwish = hard_swish {
                    formula "z·min(max(z/6 + ½, 0), 1)",
                    derivative "0 if z ≤ −3, 1 if z ≥ 3, else z/3 + ½",
                    second "1/3 if −3 < z < 3 else 0",
                    range "[−0.375, ∞)",
                    limits ["0", "∞"],
                    ulp [3.0, 3.0, 0.5],
                }

                /// Moves every number towards 0 by λ (Donoho 1995).
                pointwise Softshrink = softshrink(
                    /// The distance λ.
                    lambda = 0.5, in 0.0..=f32::MAX
                ) {
                    formula "z − λ if z > λ, z + λ if z < −λ, else 0",
                    derivative "1 if |z| > λ else 0",
                    second "0",
                    range "(−∞, ∞)",
                    limits ["−∞", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// Sets small numbers to 0 (Donoho and Johnstone 1994).
                pointwise Hardshrink = hardshrink(
                    /// The greatest magnitude that becomes 0.
                    lambda = 0.5, in 0.0..=f32::MAX
                ) {
                    formula "z if |z| > λ else 0",
                    derivative "1 if |z| > λ else 0",
                    second "0",
                    range "(−∞, −λ) ∪ {0} ∪ (λ, ∞)",
                    limits ["−∞", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// ONNX's shrink: sets small numbers to 0 and moves the others towards 0.
                pointwise Shrink = shrink(
                    /// The greatest magnitude that becomes 0.
                    lambda = 0.5, in 0.0..=f32::MAX;
                    /// The distance by which the others are moved.
                    bias = 0.0
                ) {
                    formula "z − bias if z > λ, z + bias if z < −λ, else 0",
                    derivative "1 if |z| > λ else 0",
                    second "0",
                    range "(−∞, bias − λ) ∪ {0} ∪ (λ − bias, ∞)",
                    limits ["−∞", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// Replaces all numbers up to a threshold by a value.
                pointwise Threshold = threshold(
                    /// The threshold θ.
                    threshold = 0.0;
                    /// The value that replaces numbers up to the threshold.
                    value = 0.0
                ) {
                    formula "z if z > θ else value",
                    derivative "1 if z > θ else 0",
                    second "0",
                    range "{value} ∪ (θ, ∞)",
                    limits ["value", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// Zero for all numbers up to a threshold, as in ONNX (Konda, Memisevic and Krueger 2014).
                pointwise ThresholdedRelu = thresholded_relu(
                    /// The threshold α.
                    alpha = 1.0
                ) {
                    formula "z if z > α else 0",
                    derivative "1 if z > α else 0",
                    second "0",
                    range "{0} ∪ (α, ∞)",
                    limits ["0", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// The exponential linear unit (Clevert, Unterthiner and Hochreiter 2016).
                pointwise Elu = elu(
                    /// The limit −α of the negative side.
                    alpha = 1.0
                ) {
                    formula "z if z > 0 else α·(e^z − 1)",
                    derivative "1 if z > 0 else α·e^z",
                    second "α·e^z if z < 0 else 0",
                    range "(−α, ∞)",
                    limits ["−α", "∞"],
                    ulp [1.0, 1.0, 1.0],
                }

                /// The scaled exponential linear unit (Klambauer, Unterthiner, Mayr and Hochreiter 2017):
                /// λ = 1.0507009873554805, α = 1.6732632423543772.
                pointwise Selu = selu {
                    formula "λ·z if z > 0 else λ·α·(e^z − 1)",
                    derivative "λ if z > 0 else λ·α·e^z",
                    second "λ·α·e^z if z < 0 else 0",
                    range "(−λ·α, ∞)",
                    limits ["−λ·α", "∞"],
                    ulp [2.0, 2.0, 2.0],
                }

                /// The exponential function.
                pointwise Exponential = exponential {
                    formula "e^z",
                    derivative "e^z",
                    second "e^z",
                    range "(0, ∞)",
                    limits ["0", "∞"],
                    ulp [1.0, 1.0, 1.0],
                }

                /// The softsign function (Bergstra, Desjardins, Lamblin and Bengio 2009).
                pointwise Softsign = softsign {
                    formula "z / (1 + |z|)",
                    derivative "1 / (1 + |z|)²",
                    second "−2·sign(z) / (1 + |z|)³",
                    range "(−1, 1)",
                    limits ["−1", "1"],
                    ulp [1.0, 3.0, 5.0],
                }

                /// The logarithm of the sigmoid.
                pointwise LogSigmoid = log_sigmoid {
                    formula "−ln(1 + e^−z)",
                    derivative "1 / (1 + e^z)",
                    second "−σ(z)·σ(−z)",
                    range "(−∞, 0)",
                    limits ["−∞", "0"],
                    ulp [2.0, 1.0, 1.0],
                }

                /// The logistic function (Verhulst 1838), the inverse of the [logit](Self::Logit).
                pointwise Sigmoid = sigmoid {
                    formula "1 / (1 + e^−z)",
                    derivative "y·(1 − y)",
                    second "y·(1 − y)·(1 − 2y)",
                    range "(0, 1)",
                    limits ["0", "1"],
                    ulp [1.0, 1.0, 3.0],
                }

                /// The hyperbolic tangent.
                pointwise Tanh = tanh {
                    formula "tanh z",
                    derivative "1 − y²",
                    second "−2y·(1 − y²)",
                    range "(−1, 1)",
                    limits ["−1", "1"],
                    ulp [1.5, 1.0, 3.0],
                }

                /// The rectified linear unit, squared (So et al. 2021).
                pointwise SquaredRelu = squared_relu {
                    formula "z² if z > 0 else 0",
                    derivative "2z if z > 0 else 0",
                    second "2 if z > 0 else 0",
                    range "[0, ∞)",
                    limits ["0", "∞"],
                    ulp [0.5, 0.5, 0.5],
                }

                /// The continuously differentiable exponential linear unit (Barron 2017).
                pointwise Celu = celu(
                    /// The limit −α of the negative side.
                    alpha = 1.0
                ) => [alpha != 0.0, "alpha must not be 0"] {
                    formula "z if z > 0 else α·(e^(z/α) − 1)",
                    derivative "1 if z > 0 else e^(z/α)",
                    second "e^(z/α)/α if z < 0 else 0",
                    range "(−α, ∞)",
                    limits ["−α", "∞"],
                    ulp [1.0, 1.0, 1.0],
                }

                /// The bell curve.
                pointwise Gaussian = gaussian {
                    formula "e^(−z²)",
                    derivative "−2z·e^(−z²)",
                    second "(4z² − 2)·e^(−z²)",
                    range "(0, 1]",
                    limits ["0", "0"],
                    ulp [2.0, 2.0, 4.0],
                }

                /// The smooth rectifier (Dugas et al. 2001); beyond the threshold it is z, as in PyTorch.
                pointwise Softplus = softplus(
                    /// The sharpness β.
                    beta = 1.0;
                    /// If β·z is greater, the result is z.
                    threshold = 20.0
                ) => [beta != 0.0, "beta must not be 0"] {
                    formula "ln(1 + e^(β·z)) / β",
                    derivative "1 / (1 + e^(−β·z))",
                    second "β·σ(β·z)·σ(−β·z)",
                    range "(0, ∞)",
                    limits ["0", "∞"],
                    ulp [2.0, 1.0, 1.0],
                }

                /// Scaled tanh: LeCun's by default, whose second derivative is greatest at ±1 (LeCun, Bottou,
                /// Orr and Müller 1998).
                pointwise ScaledTanh = scaled_tanh(
                    /// The limit at +∞.
                    a = 1.7159;
                    /// The scale of the argument.
                    b = 0.666_666_7
                ) {
                    formula "a·tanh(b·z)",
                    derivative "a·b·(1 − tanh²(b·z))",
                    second "−2a·b²·tanh(b·z)·(1 − tanh²(b·z))",
                    range "(−a, a)",
                    limits ["−a", "a"],
                    ulp [4.0, 3.0, 4.0],
                }

                /// The difference of z and tanh z.
                pointwise Tanhshrink = tanhshrink {
                    formula "z − tanh z",
                    derivative "tanh² z",
                    second "2·tanh z·(1 − tanh² z)",
                    range "(−∞, ∞)",
                    limits ["−∞", "∞"],
                    ulp [4.0, 3.0, 3.0],
                }

                /// The arctangent.
                pointwise Arctan = arctan {
                    formula "arctan z",
                    derivative "1 / (1 + z²)",
                    second "−2z / (1 + z²)²",
                    range "(−π/2, π/2)",
                    limits ["−π/2", "π/2"],
                    ulp [1.5, 3.0, 4.0],
                }

                /// The logit (Berkson 1944), the inverse of [sigmoid](Self::Sigmoid): defined on (0, 1), −∞ at 0, ∞ at 1,
                /// NaN outside [0, 1].
                pointwise Logit = logit {
                    formula "ln(z / (1 − z))",
                    derivative "1 / (z·(1 − z))",
                    second "(2z − 1) / (z·(1 − z))²",
                    range "(−∞, ∞)",
                    limits ["NaN", "NaN"],
                    ulp [2.0, 3.0, 8.0],
                }

                /// The sigmoid-weighted linear unit (Elfwing, Uchibe and Doya 2018), also known as swish. Its minimum
                /// is at z = −1.278.
                pointwise Silu = silu {
                    formula "z / (1 + e^−z)",
                    derivative "σ(z)·(1 + z·σ(−z))",
                    second "σ(z)·σ(−z)·(2 − z·tanh(z/2))",
                    range "[−0.27846454, ∞)",
                    limits ["0", "∞"],
                    ulp [2.0, 3.0, 5.0],
                }

                /// Swish with a sharpness (Ramachandran, Zoph and Le 2017).
                pointwise Swish = swish(
                    /// The sharpness β.
                    beta = 1.0
                ) {
                    formula "z / (1 + e^(−β·z))",
                    derivative "σ(β·z)·(1 + β·z·σ(−β·z))",
                    second "β·σ(β·z)·σ(−β·z)·(2 − β·z·tanh(β·z/2))",
                    range "[−0.27846454/β, ∞)",
                    limits ["0", "∞"],
                    ulp [2.0, 3.0, 5.0],
                }

                /// The approximation of the Gaussian error linear unit by a sigmoid (Hendrycks and Gimpel 2016).
                pointwise QuickGelu = quick_gelu {
                    formula "z / (1 + e^(−1.702·z))",
                    derivative "σ(1.702·z)·(1 + 1.702·z·σ(−1.702·z))",
                    second "1.702·σ(u)·σ(−u)·(2 − u·tanh(u/2)) with u = 1.702·z",
                    range "[−0.16361019, ∞)",
                    limits ["0", "∞"],
                    ulp [2.0, 3.0, 6.0],
                }

                /// The Gaussian error linear unit (Hendrycks and Gimpel 2016): z times the normal distribution
                /// function Φ.
                pointwise Gelu = gelu {
                    formula "z·Φ(z) = ½z·(1 + erf(z/√2))",
                    derivative "Φ(z) + z·e^(−z²/2)/√(2π)",
                    second "(2 − z²)·e^(−z²/2)/√(2π)",
                    range "[−0.16997121, ∞)",
                    limits ["0", "∞"],
                    ulp [3.0, 3.0, 5.0],
                }

                /// The approximation of [gelu](Self::Gelu) by tanh (Hendrycks and Gimpel 2016), PyTorch's
                /// `approximate="tanh"`.
                pointwise GeluTanh = gelu_tanh {
                    formula "½z·(1 + tanh(√(2/π)·(z + 0.044715·z³)))",
                    derivative "σ(u)·(1 + z·u'·σ(−u)) with u = 2·√(2/π)·(z + 0.044715·z³)",
                    second "σ(u)·σ(−u)·(2u' + z·(u'' − u'²·tanh(u/2)))",
                    range "[−0.17004075, ∞)",
                    limits ["0", "∞"],
                    ulp [2.0, 4.0, 8.0],
                }

                /// Mish (Misra 2019).
                pointwise Mish = mish {
                    formula "z·tanh(ln(1 + e^z))",
                    derivative "ω + z·σ(z)·(1 − ω²) with ω = tanh(ln(1 + e^z))",
                    second "4e·(2d·(1 + e) + z·(2 + 2e − 3e² − 2e³))/d³ with e = e^z, d = e² + 2e + 2",
                    range "[−0.30884342, ∞)",
                    limits ["0", "∞"],
                    ulp [3.0, 3.0, 8.0],
                }

                /// The linearly scaled tanh (Roy, Manna, Dubey and Chaudhuri 2019).
                pointwise Lisht = lisht {
                    formula "z·tanh z",
                    derivative "tanh z + z·(1 − tanh² z)",
                    second "2·(1 − tanh² z)·(1 − z·tanh z)",
                    range "[0, ∞)",
                    limits ["∞", "∞"],
                    ulp [2.0, 2.0, 5.0],
                }

                /// A smooth rectifier without exponentials (Barron 2021).
                pointwise Squareplus = squareplus(
                    /// The width of the bend, squared.
                    b = 4.0, in 0.0..=f32::MAX
                ) {
                    formula "½(z + √(z² + b))",
                    derivative "½(1 + z/√(z² + b))",
                    second "½b / (z² + b)^(3/2)",
                    range "(0, ∞)",
                    limits ["0", "∞"],
                    ulp [4.0, 4.0, 6.0],
                }

                /// The sine, for implicit neural representations (Sitzmann et al. 2020). NaN at ±∞, where it has no
                /// limit.
                pointwise Sine = sine(
                    /// The angular frequency ω.
                    omega = 1.0
                ) {
                    formula "sin(ω·z)",
                    derivative "ω·cos(ω·z)",
                    second "−ω²·sin(ω·z)",
                    range "[−1, 1]",
                    limits ["NaN", "NaN"],
                    ulp [2.0, 2.0, 2.0],
                }

                /// A line with a wave added to it (Liu, Hartwig and Ueda 2020). Its derivatives are NaN at ±∞.
                pointwise Snake = snake(
                    /// The frequency a; for a = 0 the result is z.
                    a = 1.0
                ) {
                    formula "z + sin²(a·z)/a",
                    derivative "1 + sin(2a·z)",
                    second "2a·cos(2a·z)",
                    range "(−∞, ∞)",
                    limits ["−∞", "∞"],
                    ulp [3.0, 4.0, 4.0],
                }
            }
            rowwise {
                /// Softmax over the last axis: positive numbers that sum to 1 (Bridle 1990).
                ///
                /// A row that holds NaN or +∞, or only −∞, becomes NaN, as in PyTorch.
                rowwise Softmax = softmax {
                    formula "e^z_i / Σ_j e^z_j",
                    derivative "y_i·(δ_ij − y_j)",
                    range "(0, 1]",
                    ulp [4.0],
                }

                /// The logarithm of [softmax](Self::Softmax) over the last axis.
                ///
                /// A row that holds NaN or +∞, or only −∞, becomes NaN, as in PyTorch.
                rowwise LogSoftmax = log_softmax {
                    formula "z_i − ln Σ_j e^z_j",
                    derivative "δ_ij − e^y_j",
                    range "(−∞, 0]",
                    ulp [4.0],
                }

                /// [Softmax](Self::Softmax) of −z over the last axis: the smallest element gets the largest output.
                ///
                /// A row that holds NaN or −∞, or only +∞, becomes NaN.
                rowwise Softmin = softmin {
                    formula "e^−z_i / Σ_j e^−z_j",
                    derivative "y_i·(y_j − δ_ij)",
                    range "(0, 1]",
                    ulp [4.0],
                }

                /// The projection of the last axis onto the simplex (Martins and Astudillo 2016): numbers ≥ 0 that sum
                /// to 1, most of them 0. S is the set of indices at which they are not 0; τ is chosen so that the sum
                /// is 1.
                ///
                /// A row that holds NaN or +∞, or only −∞, becomes NaN. The rounding of the threshold τ may be large
                /// relative to a small output: the bound is in units of 2⁻²⁴, the last place of 1.
                rowwise Sparsemax = sparsemax {
                    formula "max(z_i − τ, 0)",
                    derivative "(δ_ij − 1/|S|) for i, j in S, else 0",
                    range "[0, 1]",
                    ulp [2.0],
                }
            }
        }
    };
}
