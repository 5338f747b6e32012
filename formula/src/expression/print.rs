//! Expressions as text, in LaTeX and in WGSL.

use super::graph::{Binary, Comparison, Graph, Id, Node, Unary};

/// The names of the arguments and parameters of an expression.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// Of the arguments, by their place.
    pub variables: &'a [&'a str],
    /// Of the parameters, by their place.
    pub parameters: &'a [&'a str],
}

/// The size beyond which a formula is printed in lines.
const LONGEST: u64 = 300;

/// The depth beyond which a formula is printed in lines.
const DEEPEST: u32 = 60;

/// How tightly the outermost operator of a text binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Sum,
    Product,
    Negation,
    Power,
    Atom,
}

impl Graph {
    /// The expression as a formula that can be parsed. One that would be long because it repeats its parts is
    /// printed in lines, each with the name of a part.
    pub fn text(&self, id: Id, names: Names<'_>) -> String {
        self.print(id, &Style { names, is_latex: false })
    }

    /// The expression in LaTeX.
    pub fn latex(&self, id: Id, names: Names<'_>) -> String {
        self.print(id, &Style { names, is_latex: true })
    }

    fn print(&self, id: Id, style: &Style<'_>) -> String {
        let live = self.live(&[id]);
        let (mut sizes, mut depths) = (vec![1_u64; self.size()], vec![0_u32; self.size()]);
        for &id in &live {
            let of = self.node(id);
            let size = of.operands().map(|it| sizes[it.index()]);
            sizes[id.index()] = size.fold(1, u64::saturating_add);
            depths[id.index()] = of.operands().map(|it| depths[it.index()] + 1).max().unwrap_or(0);
        }
        let mut texts: Vec<(Binding, String)> = vec![(Binding::Atom, String::new()); self.size()];
        let is_long = sizes[id.index()] > LONGEST || depths[id.index()] > DEEPEST;
        let mut lines = Vec::new();
        for &node in &live {
            let text = style.node(self.node(node), self, &texts);
            texts[node.index()] = if is_long && node != id && self.node(node).operands().count() > 0
            {
                let name = format!("v{}", lines.len() + 1);
                lines.push(format!("{name} = {}", text.1));
                (Binding::Atom, name)
            } else {
                text
            };
        }
        lines.push(std::mem::take(&mut texts[id.index()].1));
        lines.join(if style.is_latex { " \\\\ " } else { "; " })
    }
}

struct Style<'a> {
    names: Names<'a>,
    is_latex: bool,
}

impl Style<'_> {
    fn node(&self, node: Node, graph: &Graph, texts: &[(Binding, String)]) -> (Binding, String) {
        let at_least = |id: Id, binding: Binding| -> String {
            let (found, text) = &texts[id.index()];
            if *found >= binding { text.clone() } else { self.in_parentheses(text) }
        };
        let plain = |id: Id| texts[id.index()].1.as_str();
        match node {
            Node::Variable(place) => (Binding::Atom, self.names.variables[place as usize].into()),
            Node::Parameter(place) => {
                let name = self.names.parameters[place as usize];
                (Binding::Atom, if self.is_latex { latex_name(name) } else { name.into() })
            }
            Node::Number(bits) => self.number(f64::from_bits(bits)),
            Node::Unary(Unary::Negate, x) => {
                (Binding::Negation, format!("-{}", at_least(x, Binding::Product)))
            }
            Node::Unary(function, x) => self.call(function, plain(x)),
            Node::Binary(Binary::Add, [a, b]) => {
                // The constant is in front among the nodes, and last where people write it.
                let is_constant = graph.value(a).is_some_and(|value| value < 0.0);
                let [a, b] = if is_constant { [b, a] } else { [a, b] };
                match at_least(b, Binding::Product).strip_prefix('-') {
                    Some(rest) => (Binding::Sum, format!("{} - {rest}", at_least(a, Binding::Sum))),
                    None => {
                        let [a, b] = [at_least(a, Binding::Sum), at_least(b, Binding::Product)];
                        (Binding::Sum, format!("{a} + {b}"))
                    }
                }
            }
            Node::Binary(Binary::Subtract, [a, b]) => {
                let b = at_least(b, Binding::Product);
                let b = if b.starts_with('-') { self.in_parentheses(&b) } else { b };
                (Binding::Sum, format!("{} - {b}", at_least(a, Binding::Sum)))
            }
            Node::Binary(Binary::Multiply, [a, b]) => {
                // 2 * a * b rather than 2 * (a * b).
                let is_product = matches!(graph.node(b), Node::Binary(Binary::Multiply, _));
                let is_scaled = graph.value(a).is_some() && is_product;
                let binding = if is_scaled { Binding::Product } else { Binding::Power };
                let [a, b] = [at_least(a, Binding::Product), at_least(b, binding)];
                let sign = if self.is_latex { " \\cdot " } else { " * " };
                (Binding::Product, format!("{a}{sign}{b}"))
            }
            Node::Binary(Binary::Divide, [a, b]) if self.is_latex => {
                (Binding::Product, format!("\\frac{{{}}}{{{}}}", plain(a), plain(b)))
            }
            Node::Binary(Binary::Divide, [a, b]) => {
                let [a, b] = [at_least(a, Binding::Product), at_least(b, Binding::Power)];
                (Binding::Product, format!("{a} / {b}"))
            }
            Node::Binary(Binary::Power, [a, b]) => {
                let base = at_least(a, Binding::Atom);
                let exponent = if self.is_latex {
                    format!("{{{}}}", plain(b))
                } else {
                    at_least(b, Binding::Atom)
                };
                (Binding::Power, format!("{base}^{exponent}"))
            }
            Node::Binary(function, [a, b]) => {
                let name = match (function, self.is_latex) {
                    (Binary::Min, false) => "min",
                    (Binary::Min, true) => "\\min",
                    (_, false) => "max",
                    (_, true) => "\\max",
                };
                (Binding::Atom, format!("{name}({}, {})", plain(a), plain(b)))
            }
            Node::Select(comparison, [a, b, c, d]) => {
                let sign = match (comparison, self.is_latex) {
                    (Comparison::Less, _) => "<",
                    (Comparison::LessOrEqual, false) => "<=",
                    (Comparison::LessOrEqual, true) => "\\le",
                    (Comparison::Equal, false) => "==",
                    (Comparison::Equal, true) => "=",
                };
                // z > 0 rather than 0 < z.
                let is_exchanged = graph.value(a).is_some() && graph.value(b).is_none();
                let sign = match (sign, is_exchanged) {
                    ("<", true) => ">",
                    ("<=", true) => ">=",
                    ("\\le", true) => "\\ge",
                    (sign, _) => sign,
                };
                let [a, b] = if is_exchanged { [b, a] } else { [a, b] };
                let [a, b, c, d] = [a, b, c, d].map(plain);
                let text = if self.is_latex {
                    format!(
                        "\\begin{{cases}} {c} & {a} {sign} {b} \\\\ {d} & \\text{{otherwise}} \\end{{cases}}"
                    )
                } else {
                    format!("select({a} {sign} {b}, {c}, {d})")
                };
                (Binding::Atom, text)
            }
        }
    }

    fn in_parentheses(&self, text: &str) -> String {
        if self.is_latex { format!("\\left({text}\\right)") } else { format!("({text})") }
    }

    fn number(&self, value: f64) -> (Binding, String) {
        // Sixteen digits of a fraction that was computed help nobody.
        let is_plain = value == 0.0 || (1e-4..1e9).contains(&value.abs());
        let text = if is_plain { format!("{value}") } else { format!("{value:e}") };
        let text = match text.split_once('e') {
            Some((mantissa, exponent)) if self.is_latex => {
                format!("{mantissa} \\cdot 10^{{{exponent}}}")
            }
            _ => text,
        };
        (if value < 0.0 { Binding::Negation } else { Binding::Atom }, text)
    }

    fn call(&self, function: Unary, x: &str) -> (Binding, String) {
        let is_word = |text: &str| {
            text.chars().all(|it| it.is_ascii_alphanumeric() || it == '_' || it == '.')
        };
        let minus = match x.strip_prefix('-') {
            Some(rest) if is_word(rest) => rest.to_owned(),
            _ if is_word(x) => format!("-{x}"),
            _ => format!("-{}", self.in_parentheses(x)),
        };
        let latex = self.is_latex;
        let (open, close) = if latex { ("\\left(", "\\right)") } else { ("(", ")") };
        let simple = |name: &str, latex_name: &str| {
            let name = if latex { latex_name } else { name };
            (Binding::Atom, format!("{name}{open}{x}{close}"))
        };
        match function {
            Unary::Exp if latex => (Binding::Power, format!("e^{{{x}}}")),
            Unary::Expm1 if latex => (Binding::Sum, format!("e^{{{x}}} - 1")),
            Unary::Log1p if latex => (Binding::Atom, format!("\\ln{open}1 + {x}{close}")),
            Unary::Softplus if latex => (Binding::Atom, format!("\\ln{open}1 + e^{{{x}}}{close}")),
            Unary::Sqrt if latex => (Binding::Atom, format!("\\sqrt{{{x}}}")),
            Unary::Abs if latex => (Binding::Atom, format!("\\left|{x}\\right|")),
            Unary::TanhSlope if latex => (Binding::Sum, format!("1 - \\tanh^2{open}{x}{close}")),
            Unary::TanhSlope => (Binding::Sum, format!("1 - tanh({x})^2")),
            Unary::SigmoidSlope => {
                let (name, sign) = if latex { ("\\sigma", " \\cdot ") } else { ("sigmoid", " * ") };
                let text = format!("{name}{open}{x}{close}{sign}{name}{open}{minus}{close}");
                (Binding::Product, text)
            }
            Unary::SiluSlope => {
                let (name, sign) = if latex { ("\\sigma", " \\cdot ") } else { ("sigmoid", " * ") };
                let x_factor =
                    if minus == format!("-{x}") { x.to_owned() } else { self.in_parentheses(x) };
                let inner = format!("1 + {x_factor}{sign}{name}{open}{minus}{close}");
                (
                    Binding::Product,
                    format!("{name}{open}{x}{close}{sign}{}", self.in_parentheses(&inner)),
                )
            }
            Unary::Negate => (Binding::Negation, minus),
            Unary::Exp => simple("exp", "\\exp"),
            Unary::Expm1 => simple("expm1", ""),
            Unary::Log => simple("log", "\\ln"),
            Unary::Log1p => simple("log1p", ""),
            Unary::Tanh => simple("tanh", "\\tanh"),
            Unary::Sigmoid => simple("sigmoid", "\\sigma"),
            Unary::Softplus => simple("softplus", ""),
            Unary::Erf => simple("erf", "\\operatorname{erf}"),
            Unary::Erfc => simple("erfc", "\\operatorname{erfc}"),
            Unary::NormalCdf => simple("normal_cdf", "\\Phi"),
            Unary::Sin => simple("sin", "\\sin"),
            Unary::Cos => simple("cos", "\\cos"),
            Unary::Atan => simple("atan", "\\arctan"),
            Unary::Sqrt => simple("sqrt", ""),
            Unary::Abs => simple("abs", ""),
            Unary::Sign => simple("sign", "\\operatorname{sign}"),
            Unary::Relu => simple("relu", "\\operatorname{relu}"),
            Unary::Step => simple("step", "\\operatorname{step}"),
        }
    }
}

const GREEK: [&str; 24] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi",
    "psi", "omega",
];

fn latex_name(name: &str) -> String {
    if GREEK.contains(&name) {
        format!("\\{name}")
    } else if name.chars().count() == 1 {
        name.to_owned()
    } else {
        format!("\\mathrm{{{}}}", name.replace('_', "\\_"))
    }
}
