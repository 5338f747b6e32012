#!/usr/bin/env python3
"""The polynomials of wgrad's elementary functions: how they were fitted.

    pip install mpmath
    python3 xtask/fit/fit.py            # fits all of them and prints their coefficients
    python3 xtask/fit/fit.py tanh_near  # one
    python3 xtask/fit/fit.py --check    # that every one in shaders/ and src/ is what the fit gives
    python3 xtask/fit/fit.py --write    # puts them there

Each is a weighted least-squares fit on Chebyshev nodes, in 50 digits, so that the result does not
depend on the machine. The weight makes the error count relative to the function's value. The
coefficients are rounded to f32 one after the other, from the constant upwards, and each time the
others are fitted again: what one rounding spoils, the rest makes good.

In the sources a comment `fit: NAME` stands above the coefficients, the highest power first.
"""
import re
import struct
import sys
from pathlib import Path

import mpmath as mp

mp.mp.dps = 50
ROOT = Path(__file__).resolve().parents[2]
NODES = 90


def f32(value):
    """The value, rounded to f32."""
    return struct.unpack("f", struct.pack("f", float(value)))[0]


def shortest(value):
    """The shortest decimal that reads as this f32."""
    texts = (f"{value:.{digits}g}" for digits in range(1, 10))
    text = next(text for text in texts if f32(text) == value)
    return text if "." in text or "e" in text else text + ".0"


class Fit:
    """A polynomial P in `variable(x)` with weight(x)·|P − function(x)| small on [low, high]."""

    def __init__(self, function, low, high, degree, variable=lambda x: x, weight=None):
        self.function, self.degree = function, degree
        self.low, self.high = mp.mpf(low), mp.mpf(high)
        self.variable = variable
        self.weight = weight or (lambda x: 1 / function(x))

    def solve(self):
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        nodes = [middle + half * mp.cos((2 * i + 1) * mp.pi / (2 * NODES)) for i in range(NODES)]
        variables = [mp.mpf(self.variable(x)) for x in nodes]
        weights = [abs(mp.mpf(self.weight(x))) for x in nodes]
        rest = [mp.mpf(self.function(x)) for x in nodes]
        coefficients = []
        for power in range(self.degree + 1):
            powers = range(power, self.degree + 1)
            matrix = mp.matrix(NODES, len(powers))
            right = mp.matrix(NODES, 1)
            for i in range(NODES):
                for column, p in enumerate(powers):
                    matrix[i, column] = variables[i] ** p * weights[i]
                right[i] = rest[i] * weights[i]
            solution = mp.lu_solve(matrix.T * matrix, matrix.T * right)
            coefficient = f32(solution[0])
            coefficients.append(coefficient)
            rest = [r - mp.mpf(coefficient) * v**power for r, v in zip(rest, variables)]
        error = max(abs(r) * w for r, w in zip(rest, weights))
        return coefficients, error


class Ratio:
    """A quotient N/D of polynomials in x with weight(x)·|N/D / function − 1| small on [low, high]. The
    highest coefficient of D is 1. The nodes lie denser towards `low`."""

    ROUNDS = 12

    def __init__(self, function, low, high, degrees, weight):
        self.function, self.degrees, self.weight = function, degrees, weight
        self.low, self.high = mp.mpf(low), mp.mpf(high)
        self.solution = None

    def solve(self):
        if self.solution is None:
            self.solution = self.fit()
        return self.solution

    def fit(self):
        top, bottom = self.degrees
        half = [(1 + mp.cos((2 * i + 1) * mp.pi / (2 * NODES))) / 2 for i in range(NODES)]
        nodes = [self.low + (self.high - self.low) * t * t for t in half]
        values = [mp.mpf(self.function(x)) for x in nodes]
        # The linear problem N − y·D' = y·x^bottom, divided by what y·D was in the round before.
        columns = [[-y * x**j for x, y in zip(nodes, values)] for j in range(bottom)]
        columns += [[x**j for x in nodes] for j in range(top + 1)]
        right = [y * x**bottom for x, y in zip(nodes, values)]
        wanted = [abs(mp.mpf(self.weight(x))) for x in nodes]
        scales, weights = values, wanted
        for _ in range(self.ROUNDS):
            found = self.least_squares(columns, right, scales, weights)
            scales = [y * self.horner(found[:bottom] + [1], x) for x, y in zip(nodes, values)]
            errors = self.errors(found, nodes, values)
            mean = sum(errors) / NODES
            # Where the error is large it counts more from round to round (Lawson).
            weights = [w * mp.sqrt(e / mean + mp.mpf("0.01")) for w, e in zip(weights, errors)]
        # The constants first: nothing makes good for their rounding later.
        rounded = [None] * len(columns)
        order = sorted(range(len(columns)), key=lambda i: i if i < bottom else i - bottom)
        while order:
            found = self.least_squares([columns[i] for i in order], right, scales, weights)
            i = order.pop(0)
            rounded[i] = f32(found[0])
            right = [r - rounded[i] * c for r, c in zip(right, columns[i])]
        error = max(self.errors(rounded, nodes, values))
        return rounded[bottom:], rounded[:bottom] + [1.0], error

    def errors(self, found, nodes, values):
        bottom = self.degrees[1]
        quotient = lambda x: self.horner(found[bottom:], x) / self.horner(found[:bottom] + [1], x)
        return [self.weight(x) * abs(quotient(x) / y - 1) for x, y in zip(nodes, values)]

    @staticmethod
    def horner(coefficients, x):
        value = mp.mpf(0)
        for coefficient in reversed(coefficients):
            value = value * x + coefficient
        return value

    @staticmethod
    def least_squares(columns, right, scales, weights):
        factors = [w / s for w, s in zip(weights, scales)]
        matrix = mp.matrix(NODES, len(columns))
        vector = mp.matrix(NODES, 1)
        for i, factor in enumerate(factors):
            for j, column in enumerate(columns):
                matrix[i, j] = column[i] * factor
            vector[i] = right[i] * factor
        return list(mp.lu_solve(matrix.T * matrix, matrix.T * vector))


class Numerator:
    def __init__(self, ratio):
        self.ratio, self.degree = ratio, ratio.degrees[0]

    def solve(self):
        numerator, _, error = self.ratio.solve()
        return numerator, error


class Denominator:
    def __init__(self, ratio):
        self.ratio, self.degree = ratio, ratio.degrees[1]

    def solve(self):
        _, denominator, error = self.ratio.solve()
        return denominator, error


def root(function, start):
    """A root as an f32 and what that leaves."""
    exact = mp.findroot(function, start)
    head = f32(exact)
    return exact, head, f32(exact - head)


def over(function, exact, slope_step=mp.mpf("1e-20")):
    """function(x) / (exact − x), also at the root."""

    def quotient(x):
        if abs(x - exact) < mp.mpf("1e-25"):
            x = exact + slope_step
        return function(x) / (exact - x)

    return quotient


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def slope(x):
    return sigmoid(x) * sigmoid(-x)


def cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def mills(a):
    """Φ(−a) without its exponential."""
    return mp.exp(a * a / 2) * cdf(-a)


def square(x):
    return x * x


def silu_derivative(x):
    return sigmoid(x) * (1 + x * sigmoid(-x))


def gelu_derivative(x):
    return cdf(x) + x * density(x)


# gelu_tanh is x·sigmoid(u) with u = C1·x + C3·x³.
C1 = 2 * mp.sqrt(2 / mp.pi)
C3 = C1 * mp.mpf("0.044715")


def gelu_tanh_derivative(x):
    u = C1 * x + C3 * x**3
    return sigmoid(u) + x * slope(u) * (C1 + 3 * C3 * x * x)


def gelu_tanh_second(a):
    """The second derivative without the factor slope(u)."""
    u = C1 * a + C3 * a**3
    d = C1 + 3 * C3 * a * a
    return 2 * d + 6 * C3 * a * a - a * d * d * mp.tanh(u / 2)


def mish(x):
    n = mp.exp(x) * (mp.exp(x) + 2)
    return x * n / (n + 2)


def mish_derivative(x):
    e = mp.exp(x)
    n = e * (e + 2)
    return n / (n + 2) + 4 * x * e * (e + 1) / (n + 2) ** 2


def mish_second(x):
    e = mp.exp(x)
    d = e * e + 2 * e + 2
    return 4 * e / d**3 * (2 * (1 + e) * d + x * (2 + 2 * e - 3 * e * e - 2 * e**3))


def bump(w):
    """1 − w·tanh w: silu'' and lisht'' change their sign with it."""
    return 1 - w * mp.tanh(w)


ROOTS = {
    "gelu_derivative": root(lambda a: gelu_derivative(-a), 0.75),
    "gelu_tanh_derivative": root(lambda a: gelu_tanh_derivative(-a), 0.75),
    "silu_derivative": root(lambda a: silu_derivative(-a), 1.278),
    "mish_derivative": root(lambda a: mish_derivative(-a), 1.19),
    "gelu_tanh_second": root(gelu_tanh_second, 1.4),
    "mish_second_left": root(lambda a: mish_second(-a), 2.25),
    "mish_second_right": root(mish_second, 1.5),
    "bump": root(bump, 1.2),
}


def left(name, function):
    """function(−a) / (root − a)."""
    return over(lambda a: function(-a), ROOTS[name][0])


def from_root(name):
    return lambda a: ROOTS[name][0] - a


def shifted(centre):
    return lambda a: a - mp.mpf(centre)


# √(π/2) and 1/√(2π), as the sources have them.
ROOT_HALF_PI, DENSITY = f32(mp.sqrt(mp.pi / 2)), f32(density(0))


def mills_rest(a):
    """What 1/(2·mills(a)) has beyond 1 + √(π/2)·a, over a."""
    return (1 / (2 * mills(a)) - 1) / a - ROOT_HALF_PI


def gelu_derivative_rest(a):
    """gelu'(−a) / (root − a), without e^(−a²/2), beyond its limit."""
    exact = ROOTS["gelu_derivative"][0]
    if abs(a - exact) < mp.mpf("1e-25"):
        a = exact + mp.mpf("1e-20")
    return (a * density(0) - mills(a)) / (a - exact) - DENSITY


# Both on all of the negative side, down to where gelu is zero; the errors relative to the whole.
MILLS = Ratio(mills_rest, 1e-6, 14.6, (3, 4), lambda a: -2 * a * mills_rest(a) * mills(a))
GELU_DERIVATIVE = Ratio(
    gelu_derivative_rest, 0, 15, (4, 4),
    lambda a: gelu_derivative_rest(a) / (gelu_derivative_rest(a) + DENSITY))

FITS = {
    # (e^r − 1 − r) / r², |r| ≤ ln 2 / 2
    "exp": Fit(lambda r: (mp.expm1(r) - r) / r**2, -0.3470, 0.3470, 5, weight=lambda r: r),
    "exp_short": Fit(lambda r: (mp.expm1(r) - r) / r**2, -0.3470, 0.3470, 4, weight=lambda r: r),
    # (ln(1 + f) − f + f²/2) / f³
    "log1p": Fit(
        lambda f: (mp.log1p(f) - f + f * f / 2) / f**3, -0.2935, 0.4145, 8,
        weight=lambda f: f**3 / mp.log1p(f)),
    # (tanh a − a) / a³ in a²
    "tanh_near": Fit(
        lambda a: (mp.tanh(a) - a) / a**3, 1e-3, 0.56, 5, square, lambda a: a**3 / mp.tanh(a)),
    # (a − tanh a) / a³ in a²
    "tanhshrink_near": Fit(lambda a: (a - mp.tanh(a)) / a**3, 1e-3, 0.91, 9, square),
    # (2 artanh t − 2t) / t³ in t²
    "logit_near": Fit(
        lambda t: (2 * mp.atanh(t) - 2 * t) / t**3, 1e-3, 0.41, 5, square,
        lambda t: t**3 / (2 * mp.atanh(t))),
    # (arctan t − t) / t³ in t²
    "arctan": Fit(
        lambda t: (mp.atan(t) - t) / t**3, 1e-3, 1, 9, square, lambda t: t**3 / mp.atan(t)),
    # (sin r − r) / r³ and (cos r − 1 + r²/2) / r⁴ in r²
    "sin": Fit(
        lambda r: (mp.sin(r) - r) / r**3, 1e-3, 0.79, 3, square, lambda r: r**3 / mp.sin(r)),
    "cos": Fit(
        lambda r: (mp.cos(r) - 1 + r * r / 2) / r**4, 1e-2, 0.79, 3, square,
        lambda r: r**4 / mp.cos(r)),
    # What remains of Mills' ratio and of gelu' beside its root.
    "mills_numerator": Numerator(MILLS),
    "mills_denominator": Denominator(MILLS),
    "gelu_derivative_numerator": Numerator(GELU_DERIVATIVE),
    "gelu_derivative_denominator": Denominator(GELU_DERIVATIVE),
    # (a + 2)·e^(a²/2)·Φ(−a) in 1 / (a + 2)
    "mills": Fit(lambda a: (a + 2) * mills(a), 0.69, 14.6, 10, lambda a: 1 / (a + 2)),
    # (Φ(x) − ½) / x in x²
    "gelu_near": Fit(
        lambda x: (cdf(x) - 0.5) / x, 1e-3, 0.71, 5, square, lambda x: x / cdf(-x)),
    "gelu_derivative_near": Fit(
        lambda x: (gelu_derivative(x) - 0.5) / x, 1e-3, 0.51, 5, square,
        lambda x: x / gelu_derivative(-x)),
    "gelu_derivative_root": Fit(
        left("gelu_derivative", gelu_derivative), 0.49, 1.26, 11,
        from_root("gelu_derivative")),
    "gelu_tanh_derivative_near": Fit(
        lambda x: (gelu_tanh_derivative(x) - 0.5) / x, 1e-3, 0.51, 5, square,
        lambda x: x / gelu_tanh_derivative(-x)),
    "gelu_tanh_derivative_root": Fit(
        left("gelu_tanh_derivative", gelu_tanh_derivative), 0.49, 1.31, 11,
        from_root("gelu_tanh_derivative")),
    "gelu_tanh_second_root": Fit(
        over(gelu_tanh_second, ROOTS["gelu_tanh_second"][0]), 0.95, 2.7, 13,
        from_root("gelu_tanh_second")),
    "silu_derivative_root": Fit(
        left("silu_derivative", silu_derivative), 0.49, 2.01, 11, from_root("silu_derivative")),
    "bump_root": Fit(
        over(bump, ROOTS["bump"][0]), 0.6, 2.0, 11, from_root("bump")),
    # (mish(x) / x − 3/5) / x and (mish'(x) − 3/5) / x
    "mish_near": Fit(
        lambda x: (mish(x) / x - mp.mpf("0.6")) / x, -0.405, 0.4051, 8,
        weight=lambda x: x * x / mish(x)),
    "mish_derivative_near": Fit(
        lambda x: (mish_derivative(x) - mp.mpf("0.6")) / x, -0.405, 0.4051, 8,
        weight=lambda x: x / mish_derivative(x)),
    "mish_derivative_root": Fit(
        left("mish_derivative", mish_derivative), 0.39, 2.01, 13, from_root("mish_derivative")),
    "mish_derivative_middle": Fit(
        lambda a: mish_derivative(-a), 1.99, 4.01, 10, lambda a: 3 - a),
    "mish_second_left": Fit(
        left("mish_second_left", mish_second), 1.4, 4.05, 12, from_root("mish_second_left")),
    "mish_second_far": Fit(
        lambda x: mish_second(x) * mp.exp(2 * x), 2.39, 5.01, 10, shifted(3.5)),
    "mish_second_right": Fit(
        over(mish_second, ROOTS["mish_second_right"][0]), 0.9, 2.4, 12,
        from_root("mish_second_right")),
}

# gelu' = −e^(−a²/2)·(a/√(2π) − R(a)) for x = −a, piece by piece.
for index, (low, high, centre, degree) in enumerate(
    ((1.24, 2, 1.5, 8), (2, 4, 3, 10), (4, 8, 6, 9), (8, 14.6, 11, 8))
):
    FITS[f"gelu_derivative_tail_{index}"] = Fit(
        lambda a: a / mp.sqrt(2 * mp.pi) - mills(a), low, high, degree, shifted(centre))

CONSTANTS = {
    "ln 2": mp.log(2),
    "pi / 2": mp.pi / 2,
    "1 / sqrt(2 pi)": 1 / mp.sqrt(2 * mp.pi),
    "sqrt(2)": mp.sqrt(2),
    "sqrt(1/2)": mp.sqrt(mp.mpf(1) / 2),
    "C1 of gelu_tanh": C1,
    "C3 of gelu_tanh": C3,
    "1.702 of quick_gelu": mp.mpf("1.702"),
    "0.044715": mp.mpf("0.044715"),
}


def turns(power):
    """2/π less what makes whole turns of multiples of 2^power, in two parts of an f64."""
    with mp.workprec(300):
        step = mp.ldexp(4, -power)
        rest = 2 / mp.pi - step * mp.nint(2 / mp.pi / step)
        head = float(rest)
        return head, float(rest - head)


def show(name):
    coefficients, error = FITS[name].solve()
    print(f"{name}: degree {FITS[name].degree}, error 2^{float(mp.log(error, 2)):.1f}")
    for coefficient in reversed(coefficients):
        print(f"    {shortest(coefficient)}")


NUMBER = re.compile(r"(?<![\w.])-?\d[\d_]*(?:\.[\d_]*)?(?:e-?\d+)?(?![\w.])")


def marks():
    """Each `fit: NAME` of the sources: the file, the name, and where its coefficients stand."""
    patterns = "shaders/**/*.wgsl", "src/**/*.rs", "formula/src/**/*.rs"
    for path in [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]:
        text = path.read_text()
        found = list(re.finditer(r"// fit: (\w+)", text))
        for mark, following in zip(found, found[1:] + [None]):
            name, end = mark.group(1), following.start() if following else len(text)
            literals = list(NUMBER.finditer(text, mark.end(), end))[: FITS[name].degree + 1]
            if len(literals) <= FITS[name].degree:
                sys.exit(f"{path}: {name} needs {FITS[name].degree + 1} coefficients")
            yield path, name, literals


def check():
    """That the coefficients of the sources are those of the fits."""
    seen, bad = set(), 0
    for path, name, literals in marks():
        seen.add(name)
        found = [f32(literal.group().replace("_", "")) for literal in literals]
        if found != list(reversed(FITS[name].solve()[0])):
            bad += 1
            print(f"{path.relative_to(ROOT)}: {name} differs from its fit")
    for name in FITS.keys() - seen:
        bad += 1
        print(f"{name} is fitted, but nothing uses it")
    print(f"{len(seen)} polynomials, {bad} that differ")
    return 1 if bad else 0


def write():
    """Puts the fits' coefficients in their places."""
    for path, name, literals in reversed(list(marks())):
        text = path.read_text()
        for literal, coefficient in zip(reversed(literals), FITS[name].solve()[0]):
            text = text[: literal.start()] + shortest(coefficient) + text[literal.end():]
        path.write_text(text)
    return 0


def main(arguments):
    if arguments in (["--check"], ["--write"]):
        return check() if arguments == ["--check"] else write()
    for name in arguments or FITS:
        show(name)
    if not arguments:
        for name, (_, head, rest) in ROOTS.items():
            print(f"root {name}: {shortest(head)} {shortest(rest)}")
        for name, value in CONSTANTS.items():
            head = f32(value)
            print(f"{name}: {shortest(head)} {shortest(f32(value - head))}")
        for power in (0, 26, 50, 74, 98):
            print(f"2/π for multiples of 2^{power}:", *turns(power))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
