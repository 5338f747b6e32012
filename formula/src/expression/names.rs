//! What the names in a formula mean, and the graph of a formula.

use super::graph::{Binary, Comparison, Graph, Id, Node, Unary};
use super::parse::{Compare, Kind, Part, Place, Syntax, Trouble, parse};

/// An activation of the catalogue as a formula of z and its parameters, with their defaults.
#[derive(Debug)]
pub struct Named {
    /// Its name in the catalogue.
    pub name: &'static str,
    /// Its parameters, with their defaults.
    pub parameters: &'static [(&'static str, f32)],
    /// Its formula.
    pub text: &'static str,
}

const fn named(
    name: &'static str,
    parameters: &'static [(&'static str, f32)],
    text: &'static str,
) -> Named {
    Named { name, parameters, text }
}

/// Every pointwise activation of the catalogue.
pub const ACTIVATIONS: &[Named] = &[
    named("identity", &[], "z"),
    named("relu", &[], "relu(z)"),
    named("leaky_relu", &[("slope", 0.01)], "select(z > 0, z, slope * z)"),
    named("prelu", &[("weight", 0.25)], "select(z > 0, z, weight * z)"),
    named(
        "rrelu",
        &[("lower", 0.125), ("upper", 0.333_333_34)],
        "select(z > 0, z, (lower + upper) / 2 * z)",
    ),
    named("relu6", &[], "select(z > 0, select(z < 6, z, 6), 0)"),
    named(
        "hard_tanh",
        &[("min", -1.0), ("max", 1.0)],
        "select(z > min, select(z < max, z, max), min)",
    ),
    named(
        "hard_sigmoid",
        &[("slope", 0.166_666_67), ("offset", 0.5)],
        "select(slope * z + offset > 0, select(slope * z + offset < 1, slope * z + offset, 1), 0)",
    ),
    named("hard_swish", &[], "select(z <= -3, 0, select(z < 3, z * (z / 6 + 0.5), z))"),
    named(
        "softshrink",
        &[("lambda", 0.5)],
        "select(z > lambda, z - lambda, select(z < -lambda, z + lambda, 0))",
    ),
    named("hardshrink", &[("lambda", 0.5)], "select(abs(z) > lambda, z, 0)"),
    named(
        "shrink",
        &[("lambda", 0.5), ("bias", 0.0)],
        "select(z > lambda, z - bias, select(z < -lambda, z + bias, 0))",
    ),
    named("threshold", &[("threshold", 0.0), ("value", 0.0)], "select(z > threshold, z, value)"),
    named("thresholded_relu", &[("alpha", 1.0)], "select(z > alpha, z, 0)"),
    named("elu", &[("alpha", 1.0)], "select(z > 0, z, alpha * expm1(z))"),
    named("selu", &[], "1.0507009873554805 * select(z > 0, z, 1.6732632423543772 * expm1(z))"),
    named("exponential", &[], "exp(z)"),
    named("softsign", &[], "z / (1 + abs(z))"),
    named("log_sigmoid", &[], "log(sigmoid(z))"),
    named("sigmoid", &[], "sigmoid(z)"),
    named("tanh", &[], "tanh(z)"),
    named("squared_relu", &[], "relu(z)^2"),
    named("celu", &[("alpha", 1.0)], "select(z > 0, z, alpha * expm1(z / alpha))"),
    named("gaussian", &[], "exp(-z^2)"),
    named(
        "softplus",
        &[("beta", 1.0), ("threshold", 20.0)],
        "select(beta * z > threshold, z, softplus(beta * z) / beta)",
    ),
    named("scaled_tanh", &[("a", 1.7159), ("b", 0.666_666_7)], "a * tanh(b * z)"),
    named("tanhshrink", &[], "z - tanh(z)"),
    named("arctan", &[], "atan(z)"),
    named("logit", &[], "log(z / (1 - z))"),
    named("silu", &[], "z * sigmoid(z)"),
    named("swish", &[("beta", 1.0)], "z * sigmoid(beta * z)"),
    named("quick_gelu", &[], "z * sigmoid(1.702 * z)"),
    named("gelu", &[], "z * normal_cdf(z)"),
    named("gelu_tanh", &[], "0.5 * z * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z^3)))"),
    named("mish", &[], "z * tanh(softplus(z))"),
    named("lisht", &[], "z * tanh(z)"),
    named("squareplus", &[("b", 4.0)], "(z + sqrt(z^2 + b)) / 2"),
    named("sine", &[("omega", 1.0)], "sin(omega * z)"),
    named("snake", &[("a", 1.0)], "select(a == 0, z, z + sin(a * z)^2 / a)"),
];

/// The functions of one number, by name.
const UNARY: &[(&str, Unary)] = &[
    ("exp", Unary::Exp),
    ("expm1", Unary::Expm1),
    ("log", Unary::Log),
    ("ln", Unary::Log),
    ("log1p", Unary::Log1p),
    ("tanh", Unary::Tanh),
    ("sigmoid", Unary::Sigmoid),
    ("erf", Unary::Erf),
    ("erfc", Unary::Erfc),
    ("normal_cdf", Unary::NormalCdf),
    ("sin", Unary::Sin),
    ("cos", Unary::Cos),
    ("atan", Unary::Atan),
    ("sqrt", Unary::Sqrt),
    ("abs", Unary::Abs),
    ("sign", Unary::Sign),
    ("relu", Unary::Relu),
    ("step", Unary::Step),
];

/// The functions of two numbers, by name.
const BINARY: &[(&str, Binary)] =
    &[("min", Binary::Min), ("max", Binary::Max), ("pow", Binary::Power)];

/// The numbers that have names.
const CONSTANTS: &[(&str, f64)] = &[("pi", std::f64::consts::PI), ("e", std::f64::consts::E)];

/// Every function that a formula may call.
fn functions() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = UNARY.iter().map(|(name, _)| *name).collect();
    names.extend(BINARY.iter().map(|(name, _)| *name));
    names.push("select");
    for activation in ACTIVATIONS {
        if !names.contains(&activation.name) {
            names.push(activation.name);
        }
    }
    names
}

/// Whether the name has a meaning in formulas that a parameter must not take. Functions are only known by the
/// parenthesis after their names, so min and max may be parameters, as they are of hard_tanh.
pub(super) fn is_taken(name: &str) -> bool {
    CONSTANTS.iter().any(|(known, _)| *known == name)
        || UNARY.iter().any(|(known, _)| *known == name)
        || ["pow", "select"].contains(&name)
}

/// The three nearest of the names.
fn nearest(name: &str, known: &[&str]) -> String {
    let mut known: Vec<&str> = known.to_vec();
    known.sort_by_cached_key(|candidate| strsim::damerau_levenshtein(name, candidate));
    known.truncate(3);
    known.join(", ")
}

/// What stands for a parameter of an activation of the catalogue in a formula that equals it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// A parameter of the formula.
    Parameter(u8),
    /// A constant.
    Number(f64),
}

/// The activation of the catalogue that the node is, with what stands for its parameters: those of the formula, the
/// constants in it, and the activation's defaults are tried.
pub fn recognise(graph: &mut Graph, root: Id) -> Option<(&'static Named, Vec<Bound>)> {
    /// The number of parameters and constants of a formula beyond which it is no activation of the catalogue.
    const MOST: usize = 6;
    let mut known: Vec<(Bound, Id)> = Vec::new();
    for id in graph.live(&[root]) {
        match graph.node(id) {
            Node::Parameter(place) => known.push((Bound::Parameter(place), id)),
            Node::Number(bits) => known.push((Bound::Number(f64::from_bits(bits)), id)),
            _ => {}
        }
    }
    if known.len() > MOST {
        return None;
    }
    let z = graph.variable(0);
    // quick_gelu rather than swish with its beta.
    let mut activations: Vec<&'static Named> = ACTIVATIONS.iter().collect();
    activations.sort_by_key(|activation| activation.parameters.len());
    for activation in activations {
        let mut choices = known.clone();
        for (_, default) in activation.parameters {
            let default = f64::from(*default);
            choices.push((Bound::Number(default), graph.number(default)));
        }
        // Each parameter counts through the choices.
        let combinations = choices.len().pow(activation.parameters.len() as u32);
        for combination in 0..combinations {
            let mut rest = combination;
            let mut bound = Vec::new();
            let mut names = vec![("z", z)];
            for (name, _) in activation.parameters {
                let (choice, id) = choices[rest % choices.len()];
                rest /= choices.len();
                bound.push(choice);
                names.push((name, id));
            }
            let syntax = parse(activation.text).ok()?;
            if lower(graph, &syntax, &Scope { names }) == Ok(root) {
                return Some((activation, bound));
            }
        }
    }
    None
}

/// What the names of variables and parameters stand for.
struct Scope<'a> {
    names: Vec<(&'a str, Id)>,
}

/// Adds a formula to the graph; the variables and parameters are those with these names.
///
/// # Errors
/// The first place at which the text is not a formula.
pub fn build(
    graph: &mut Graph,
    text: &str,
    variables: &[&str],
    parameters: &[&str],
) -> Result<Id, Trouble> {
    let syntax = parse(text)?;
    let mut names = Vec::new();
    // Parameters stand before variables in the text of a product: the earlier node comes first.
    for (place, name) in (0..).zip(parameters) {
        names.push((*name, graph.parameter(place)));
    }
    for (place, name) in (0..).zip(variables) {
        names.push((*name, graph.variable(place)));
    }
    lower(graph, &syntax, &Scope { names })
}

fn lower(graph: &mut Graph, syntax: &Syntax, scope: &Scope<'_>) -> Result<Id, Trouble> {
    // The node of each part; comparisons have none.
    let mut nodes: Vec<Option<Id>> = Vec::with_capacity(syntax.parts.len());
    for part in &syntax.parts {
        let of = |place: Place| {
            let at = syntax.parts[place].at;
            nodes[place].ok_or_else(|| {
                Trouble::new(at, "a comparison is only allowed as the first argument of select")
            })
        };
        let node = match &part.kind {
            Kind::Number(value) => Some(graph.number(*value)),
            Kind::Name(name) => Some(name_of(graph, part.at, name, scope)?),
            Kind::Negate(x) => {
                let x = of(*x)?;
                Some(graph.negate(x))
            }
            Kind::Binary(function, [a, b]) => {
                let (a, b) = (of(*a)?, of(*b)?);
                if *function == Binary::Divide && graph.value(b) == Some(0.0) {
                    return Err(Trouble::new(part.at, "this is divided by the constant 0"));
                }
                Some(graph.binary(*function, a, b))
            }
            Kind::Compare(_, [a, b]) => {
                of(*a)?;
                of(*b)?;
                None
            }
            Kind::Call(name, arguments, by_name) => {
                if name == "select" && by_name.is_empty() {
                    Some(select(graph, part, arguments, syntax, &nodes)?)
                } else {
                    let arguments =
                        arguments.iter().map(|it| of(*it)).collect::<Result<Vec<_>, _>>()?;
                    let named = by_name
                        .iter()
                        .map(|(key, it)| Ok((key.as_str(), of(*it)?)))
                        .collect::<Result<Vec<_>, Trouble>>()?;
                    Some(call(graph, part.at, name, &arguments, &named)?)
                }
            }
        };
        if let Some(value) = node.and_then(|node| graph.value(node))
            && value.abs() > f64::from(f32::MAX)
        {
            let reason = format!("this is {value:e}, more than f32 can hold");
            return Err(Trouble::new(part.at, reason));
        }
        nodes.push(node);
    }
    nodes[syntax.root].ok_or_else(|| {
        Trouble::new(0, "a comparison is not a number; use it in select(condition, a, b)")
    })
}

fn name_of(graph: &mut Graph, at: usize, name: &str, scope: &Scope<'_>) -> Result<Id, Trouble> {
    if let Some((_, id)) = scope.names.iter().find(|(known, _)| *known == name) {
        return Ok(*id);
    }
    if let Some((_, value)) = CONSTANTS.iter().find(|(known, _)| *known == name) {
        return Ok(graph.number(*value));
    }
    if functions().contains(&name) {
        return Err(Trouble::new(at, format!("{name} is a function; write {name}(…)")));
    }
    let known: Vec<&str> = scope.names.iter().map(|(known, _)| *known).collect();
    let reason = format!(
        "unknown name {name:?}; known are {}, e and pi; give a parameter its value with (\"{name}\", value)",
        known.join(", ")
    );
    Err(Trouble::new(at, reason))
}

fn select(
    graph: &mut Graph,
    part: &Part,
    arguments: &[Place],
    syntax: &Syntax,
    nodes: &[Option<Id>],
) -> Result<Id, Trouble> {
    let &[condition, yes, no] = arguments else {
        let reason = format!("select(condition, a, b) has 3 arguments, found {}", arguments.len());
        return Err(Trouble::new(part.at, reason));
    };
    let of = |place: Place| {
        nodes[place].ok_or_else(|| {
            Trouble::new(syntax.parts[place].at, "expected a number, found a comparison")
        })
    };
    let (yes, no) = (of(yes)?, of(no)?);
    let Kind::Compare(compare, [a, b]) = syntax.parts[condition].kind else {
        let reason = "expected a comparison such as z > 0";
        return Err(Trouble::new(syntax.parts[condition].at, reason));
    };
    let (a, b) = (of(a)?, of(b)?);
    Ok(match compare {
        Compare::Plain(comparison) => graph.select(comparison, [a, b, yes, no]),
        Compare::Exchanged(comparison) => graph.select(comparison, [b, a, yes, no]),
        Compare::Different => graph.select(Comparison::Equal, [a, b, no, yes]),
    })
}

fn call(
    graph: &mut Graph,
    at: usize,
    name: &str,
    arguments: &[Id],
    by_name: &[(&str, Id)],
) -> Result<Id, Trouble> {
    let count = |expected: usize| {
        if arguments.len() == expected {
            return Ok(());
        }
        let plural = if expected == 1 { "argument" } else { "arguments" };
        let found = arguments.len();
        Err(Trouble::new(at, format!("{name} has {expected} {plural}, found {found}")))
    };
    let activation = ACTIVATIONS.iter().find(|activation| activation.name == name);
    if by_name.is_empty() || activation.is_none() {
        if let Some((key, _)) = by_name.first().filter(|_| functions().contains(&name)) {
            return Err(Trouble::new(at, format!("{name} has no parameter {key:?}")));
        }
        if let Some((_, function)) = UNARY.iter().find(|(known, _)| *known == name) {
            count(1)?;
            return Ok(graph.unary(*function, arguments[0]));
        }
        if let Some((_, function)) = BINARY.iter().find(|(known, _)| *known == name) {
            count(2)?;
            return Ok(graph.binary(*function, arguments[0], arguments[1]));
        }
        // log(1 + e^z), without the straight line that the activation of this name has.
        if name == "softplus" && by_name.is_empty() {
            count(1)?;
            return Ok(graph.unary(Unary::Softplus, arguments[0]));
        }
    }
    let Some(activation) = activation else {
        let nearest = nearest(name, &functions());
        let reason = format!("unknown function {name:?}; the nearest are: {nearest}");
        return Err(Trouble::new(at, reason));
    };
    count(1)?;
    let known: Vec<&str> = activation.parameters.iter().map(|(key, _)| *key).collect();
    if let Some((key, _)) = by_name.iter().find(|(key, _)| !known.contains(key)) {
        let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Trouble::new(at, format!("{name} has no parameter {key:?}; it has {has}")));
    }
    let mut names = vec![("z", arguments[0])];
    for (key, default) in activation.parameters {
        let mut given = by_name.iter().filter(|(known, _)| known == key);
        let value = match given.next() {
            Some((_, id)) => *id,
            None => graph.number((*default).into()),
        };
        if given.next().is_some() {
            return Err(Trouble::new(at, format!("{key} is given twice; give it once")));
        }
        names.push((*key, value));
    }
    // The texts of the catalogue are formulas: a test parses each.
    let syntax = parse(activation.text)?;
    lower(graph, &syntax, &Scope { names }).map_err(|trouble| Trouble::new(at, trouble.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expression::{Names, Program, With};

    #[test]
    fn every_activation_has_derivatives() {
        for Named { name, parameters, text } in ACTIVATIONS {
            let mut graph = Graph::default();
            let keys: Vec<&str> = parameters.iter().map(|(key, _)| *key).collect();
            let g = build(&mut graph, text, &["z"], &keys).unwrap();
            let d = graph.derivative(g, With::Variable(0)).unwrap();
            let d2 = graph.derivative(d, With::Variable(0)).unwrap();
            let names = Names { variables: &["z"], parameters: &keys };
            println!(
                "{name}: {} | {} | {}",
                graph.text(g, names),
                graph.text(d, names),
                graph.text(d2, names)
            );
            let values: Vec<f64> = parameters.iter().map(|(_, value)| f64::from(*value)).collect();
            let [g, d, d2] = [g, d, d2].map(|id| Program::new(&graph, id).unwrap());
            for step in -40..=40 {
                let z = f64::from(step) * 0.17 + 0.013;
                let at = |program: &Program, z: f64| program.evaluate(&[z], &values);
                for (f, slope) in [(&g, &d), (&d, &d2)] {
                    let found = at(slope, z);
                    let estimate = (at(f, z + 1e-6) - at(f, z - 1e-6)) / 2e-6;
                    assert!(
                        (found - estimate).abs() < 1e-5 * (1.0 + estimate.abs())
                            || estimate.is_nan(),
                        "{name} at {z}: {found}, {estimate}"
                    );
                }
            }
        }
    }
}
