//! Functions that a user defines by a formula.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use super::derivative::{NODES, With};
use super::graph::{Graph, Id};
use super::names::{Bound, Named, build, is_taken, recognise};
use super::parse::{Kind, Trouble, parse};
use super::print::Names;
use super::program::{Program, SLOTS};
use super::wgsl::power;
use crate::data::error::{Error, Result};
use crate::data::parameters::{Constant, ConstantKind, Value};
use crate::numbers::Real;

/// The number of parameters that a formula may have.
pub const PARAMETERS: usize = 8;

/// The number of bytes that the name of a parameter or of a function may have.
const NAME: usize = 32;

/// An activation or a loss that is defined by a formula, with the values of its parameters: what
/// `Activation::from_formula` and `Loss::from_formula` make.
///
/// A copy is as cheap as one of an activation of the catalogue: formulas are kept for as long as the program runs,
/// each once, whatever the values of its parameters are.
#[derive(Clone, Copy)]
pub struct Custom {
    definition: &'static Definition,
    values: [f32; PARAMETERS],
    /// Whether it is computed as the activation of the catalogue that it equals.
    is_of_catalogue: bool,
}

/// What a formula is a formula of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Of {
    /// An activation g(z).
    Activation,
    /// A term of a loss, of an output y and its target t.
    Loss,
}

impl Of {
    const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Activation => &["z"],
            Self::Loss => &["y", "t"],
        }
    }

    /// What the names of its own functions and parameters begin with in WGSL.
    const fn prefix(self) -> &'static str {
        match self {
            Self::Activation => "g_",
            Self::Loss => "l_",
        }
    }

    const fn noun(self) -> &'static str {
        match self {
            Self::Activation => "formula",
            Self::Loss => "loss formula",
        }
    }
}

/// A function that is derived from the formula.
#[derive(Clone, Debug)]
pub struct Derived {
    /// Its text in LaTeX.
    pub latex: String,
    /// The steps that compute it.
    pub program: Program,
}

/// What a function is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Language {
    Formula,
    /// Only GPUs compute it.
    Wgsl,
}

impl Language {
    /// What its texts are called in.
    const fn name(self) -> &'static str {
        match self {
            Self::Formula => "formula",
            Self::Wgsl => "wgsl",
        }
    }
}

/// What formulas are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    language: Language,
    of: Of,
    text: String,
    parameters: Vec<String>,
    name: Option<String>,
    /// The parameter with respect to which the function stands for a partial derivative.
    partial: Option<u8>,
}

/// A formula with everything that follows from it.
#[derive(Clone, Debug)]
struct Definition {
    key: Key,
    parameters: Vec<&'static str>,
    /// The names of the parameters in WGSL.
    constants: Vec<&'static str>,
    /// The function, its derivative, and for an activation the second one.
    orders: Vec<Derived>,
    texts: [String; 3],
    /// The activation of the catalogue that the formula equals.
    equal: Option<(&'static Named, Vec<Bound>)>,
    wgsl: String,
    has_second_derivative: bool,
    /// The name by which the kernels of the formula are told from others.
    label: String,
}

static DEFINITIONS: LazyLock<Mutex<HashMap<Key, &'static Definition>>> =
    LazyLock::new(Mutex::default);

impl Custom {
    /// The function of this formula, with its parameters and their values.
    ///
    /// # Errors
    /// [`Error::InvalidFormula`] with the place at which the text is not a formula; [`Error::InvalidParameter`] for
    /// a parameter.
    pub fn new(of: Of, text: &str, parameters: &[(&str, f32)]) -> Result<Self> {
        if parameters.len() > PARAMETERS {
            let reason = format!("a formula has at most {PARAMETERS} parameters");
            return Err(Error::parameter("parameters", parameters.len(), reason));
        }
        let mut values = [0.0; PARAMETERS];
        for (place, &(name, value)) in parameters.iter().enumerate() {
            check_name(name, of)?;
            check_value(name, value)?;
            if parameters[..place].iter().any(|(known, _)| *known == name) {
                return Err(Error::parameter(name, value, "is given twice; give it once"));
            }
            values[place] = value;
        }
        let key = Key {
            language: Language::Formula,
            of,
            text: text.trim().to_owned(),
            parameters: parameters.iter().map(|(name, _)| (*name).to_owned()).collect(),
            name: None,
            partial: None,
        };
        let definition = define(key)?;
        Ok(Self { definition, values, is_of_catalogue: false })
    }

    /// An activation that is given in WGSL, with the functions that kernels call: a text that has been checked.
    #[doc(hidden)]
    pub fn of_wgsl(text: &str, functions: &str, has_second_derivative: bool) -> Self {
        let key = Key {
            language: Language::Wgsl,
            of: Of::Activation,
            text: text.trim().to_owned(),
            parameters: Vec::new(),
            name: None,
            partial: None,
        };
        let make = |key: Key| {
            // Kernels are told apart by a number rather than by a long text.
            static NUMBER: AtomicU64 = AtomicU64::new(1);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            Definition {
                parameters: Vec::new(),
                constants: Vec::new(),
                orders: Vec::new(),
                texts: [key.text.clone(), String::new(), String::new()],
                equal: None,
                wgsl: functions.to_owned(),
                has_second_derivative,
                label: format!("wgsl {number}"),
                key,
            }
        };
        let definition = intern(key, make);
        Self { definition, values: [0.0; PARAMETERS], is_of_catalogue: false }
    }

    /// Whether it is given in WGSL, so that only GPUs compute it.
    #[doc(hidden)]
    pub const fn is_wgsl(&self) -> bool {
        matches!(self.definition.key.language, Language::Wgsl)
    }

    /// Whether kernels can compute the second derivative.
    #[doc(hidden)]
    pub const fn has_second_derivative(&self) -> bool {
        self.definition.has_second_derivative
    }

    /// The same function under a name of its own.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if the name is not an identifier.
    pub fn named(&self, name: &str) -> Result<Self> {
        check_identifier("name", name)?;
        let key = Key { name: Some(name.to_owned()), ..self.definition.key.clone() };
        let definition = intern(key, |key| Definition { key, ..self.definition.clone() });
        Ok(Self { definition, ..*self })
    }

    /// The same formula with another value for a parameter.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if there is no such parameter, or the value is not finite.
    pub fn with(&self, parameter: &str, value: f32) -> Result<Self> {
        let place = self.definition.parameters.iter().position(|name| *name == parameter);
        let Some(place) = place else {
            let reason = match self.definition.parameters[..] {
                [] => "the formula has no parameters".to_owned(),
                _ => format!("the parameters are: {}", self.definition.parameters.join(", ")),
            };
            return Err(Error::parameter(parameter, value, reason));
        };
        check_value(parameter, value)?;
        let mut values = self.values;
        values[place] = value;
        Ok(Self { values, is_of_catalogue: false, ..*self })
    }

    /// The partial derivative with respect to a parameter, as a function whose derivative it is too: a product with
    /// it is what a backward pass computes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is too large.
    #[doc(hidden)]
    pub fn partial(&self, place: u8) -> Result<Self> {
        let key = Key { partial: Some(place), ..self.definition.key.clone() };
        let definition = define(key)?;
        Ok(Self { definition, is_of_catalogue: false, ..*self })
    }

    /// The name and the parameters of the activation of the catalogue that the formula equals.
    #[doc(hidden)]
    pub fn equal(&self) -> Option<(&'static str, impl Iterator<Item = f32>)> {
        let (activation, bound) = self.definition.equal.as_ref()?;
        let values = self.values;
        let value = move |bound: &Bound| match *bound {
            Bound::Parameter(place) => values[usize::from(place)],
            Bound::Number(value) => value as f32,
        };
        Some((activation.name, bound.iter().map(value)))
    }

    /// The same formula, computed as the activation of the catalogue that it [equals](Self::equal).
    #[doc(hidden)]
    pub fn of_catalogue(self) -> Self {
        Self { is_of_catalogue: true, ..self }
    }

    /// Whether it is computed as an activation of the catalogue.
    #[doc(hidden)]
    pub fn is_of_catalogue(&self) -> bool {
        self.is_of_catalogue
    }

    /// The name that it was given, or `formula` or `wgsl`.
    pub const fn name(&self) -> &'static str {
        match &self.definition.key.name {
            Some(name) => name.as_str(),
            None => self.definition.key.language.name(),
        }
    }

    /// The text that tells the kernels of this formula from others.
    #[doc(hidden)]
    pub const fn label(&self) -> &'static str {
        self.definition.label.as_str()
    }

    /// What the formula is a formula of.
    #[doc(hidden)]
    pub fn of(&self) -> Of {
        self.definition.key.of
    }

    /// The names of the parameters.
    pub fn parameter_names(&self) -> &'static [&'static str] {
        &self.definition.parameters
    }

    /// The values of the parameters.
    pub fn values(&self) -> &[f32] {
        &self.values[..self.definition.parameters.len()]
    }

    /// The function itself for order 0, the derivative for order 1, and for an activation the second derivative
    /// for order 2; `None` for another order.
    #[doc(hidden)]
    pub fn derived(&self, order: usize) -> Option<&'static Derived> {
        self.definition.orders.get(order)
    }

    /// The simplified text of the function or a derivative; empty if there is no such function.
    #[doc(hidden)]
    pub const fn text(&self, order: usize) -> &'static str {
        self.definition.texts[order].as_str()
    }

    /// The WGSL functions.
    #[doc(hidden)]
    pub const fn wgsl(&self) -> &'static str {
        self.definition.wgsl.as_str()
    }

    /// The parameters as a kernel's constants.
    #[doc(hidden)]
    pub fn constants(&self) -> Vec<Constant> {
        let constants = self.definition.constants.iter().zip(self.values);
        let kind = ConstantKind::Number { is_default: false };
        constants.map(|(name, value)| Constant { name, value: value.into(), kind }).collect()
    }

    /// The value of a function that is derived from the formula; NaN if there is no such function.
    #[doc(hidden)]
    pub fn at<R: Real>(&self, order: usize, variables: &[R]) -> R {
        let parameters = self.values.map(|value| R::from_f64(value.into()));
        match self.derived(order) {
            Some(derived) => derived.program.evaluate(variables, &parameters),
            None => R::from_f64(f64::NAN),
        }
    }

    /// What is doubtful about the formula with these values: arguments for which it is not defined, and those at which
    /// its derivative is not the slope of its values.
    ///
    /// Derivatives are compared with differences of the f64 reference between −20 and 20; arguments for which there is
    /// no value are looked for up to ±10 000.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.of() != Of::Activation || self.is_wgsl() {
            return warnings;
        }
        let points = (-400..=400).map(|step| f64::from(step) * 0.05);
        let at = |order: usize, z: f64| self.at(order, &[z]);
        let far = [50.0, -50.0, 100.0, -100.0, 1e3, -1e3, 1e4, -1e4];
        for (order, function) in ["g", "g'"].into_iter().enumerate() {
            let undefined = |z: f64| at(order, z).is_nan();
            // What is computed as an activation of the catalogue has its limits.
            let overflows = |z: f64| !self.is_of_catalogue && self.at(order, &[z as f32]).is_nan();
            let without = points.clone().chain(far).find(|&z| undefined(z) || overflows(z));
            let Some(z) = without else { continue };
            warnings.push(match undefined(z) {
                true => format!("{function}(z) is not defined at z = {z}"),
                false => format!(
                    "{function}(z) is NaN at z = {z}, where a part of the formula is more than f32 can hold"
                ),
            });
            break;
        }
        for order in 0..2 {
            let step = 1e-5;
            let is_off = |z: f64| {
                // A kink lies within the step, or beside the point.
                let (low, high) = (at(order, z - step), at(order, z + step));
                let estimate = (high - low) / (2.0 * step);
                let (slope, before, after) =
                    (at(order + 1, z), at(order + 1, z - step), at(order + 1, z + step));
                let bend = (before - after).abs().max((slope - before).abs());
                // A kink of g is a jump of g', at which g'' has a value by convention.
                if order == 1 && (high - low).abs() > 1e-3 * (1.0 + low.abs()) {
                    return false;
                }
                let tolerance = 1e-4 * (1.0 + slope.abs() + low.abs() + high.abs()) + 2.0 * bend;
                (slope - estimate).abs() > tolerance
            };
            // Off the grid too, on which kinks usually lie.
            let off = points.clone().flat_map(|z| [z, z + 0.0171]).find(|&z| is_off(z));
            if let Some(z) = off {
                let [function, slope] = [["g", "g'"], ["g'", "g''"]][order];
                let reason = format!(
                    "{slope}(z) is not the slope of {function} near z = {z}: it jumps there"
                );
                warnings.push(reason);
            }
        }
        warnings
    }
}

fn check_value(name: &str, value: f32) -> Result<()> {
    if value.is_finite() { Ok(()) } else { Err(Error::parameter(name, value, "must be finite")) }
}

fn check_identifier(what: &str, name: &str) -> Result<()> {
    let mut characters = name.chars();
    let begins = characters.next().is_some_and(|it| it.is_ascii_alphabetic());
    let is_identifier = begins && characters.all(|it| it.is_ascii_alphanumeric() || it == '_');
    if is_identifier && name.len() <= NAME {
        return Ok(());
    }
    let reason = format!(
        "must be a letter and then letters, digits and underscores of ASCII, {NAME} characters at most"
    );
    Err(Error::parameter(what, name, reason))
}

fn check_name(name: &str, of: Of) -> Result<()> {
    check_identifier("parameter", name)?;
    let taken = |reason: &str| Err(Error::parameter("parameter", name, reason));
    if name == "name" || is_taken(name) || of.variables().contains(&name) {
        return taken("this name has a meaning in formulas; take another");
    }
    let is_prefixed = name.starts_with("g_") || name.starts_with("l_");
    if is_prefixed || WGSL_WORDS.contains(&name) {
        return taken("this name has a meaning in shaders; take another");
    }
    Ok(())
}

/// Words of WGSL that somebody might take for a parameter.
const WGSL_WORDS: &[&str] = &[
    "alias",
    "array",
    "atomic",
    "bitcast",
    "bool",
    "break",
    "case",
    "const",
    "const_assert",
    "continue",
    "continuing",
    "default",
    "diagnostic",
    "discard",
    "else",
    "enable",
    "f16",
    "f32",
    "false",
    "fn",
    "for",
    "i32",
    "if",
    "let",
    "loop",
    "override",
    "private",
    "ptr",
    "requires",
    "return",
    "self",
    "storage",
    "struct",
    "switch",
    "true",
    "u32",
    "uniform",
    "var",
    "vec2",
    "vec3",
    "vec4",
    "while",
    "workgroup",
];

fn known(key: &Key) -> Option<&'static Definition> {
    DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
}

/// The definition of this key, found or made.
fn intern(key: Key, make: impl FnOnce(Key) -> Definition) -> &'static Definition {
    known(&key).unwrap_or_else(|| {
        // Another thread may do the same meanwhile: the first one's is kept.
        let definition = make(key.clone());
        let mut definitions = DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner);
        definitions.entry(key).or_insert_with(|| Box::leak(Box::new(definition)))
    })
}

/// The formula with everything that follows from it, found or made.
fn define(key: Key) -> Result<&'static Definition> {
    if let Some(definition) = known(&key) {
        return Ok(definition);
    }
    let definition = Definition::new(key.clone())?;
    Ok(intern(key, |_| definition))
}

impl Definition {
    fn new(key: Key) -> Result<Self> {
        let variables = key.of.variables();
        let parameters: Vec<&'static str> =
            key.parameters.iter().map(|name| &*name.clone().leak()).collect();
        let mut graph = Graph::default();
        let broken = |trouble: Trouble| Error::InvalidFormula {
            formula: key.text.clone(),
            position: trouble.at,
            reason: trouble.reason,
        };
        // Programs use this constant.
        graph.number(1.0);
        let root = build(&mut graph, &key.text, variables, &parameters).map_err(broken)?;
        // In the text, not in the graph: a parameter may cancel out.
        let parts = parse(&key.text).map_err(broken)?.parts;
        let is_named = |name: &str| {
            parts.iter().any(|part| matches!(&part.kind, Kind::Name(known) if known == name))
        };
        let unused = parameters.iter().find(|name| !is_named(name));
        if let Some(name) = unused {
            let reason = "the formula does not contain this parameter; leave it out";
            return Err(Error::parameter("parameter", *name, reason));
        }
        let too_large = |what: String| Error::InvalidFormula {
            formula: key.text.clone(),
            position: 0,
            reason: what,
        };
        let slope = |graph: &mut Graph, of: Id, with: With| {
            graph.derivative(of, with).ok_or_else(|| {
                too_large(format!(
                    "a derivative has more than {NODES} parts; take a shorter formula"
                ))
            })
        };
        let ids = match (key.of, key.partial) {
            (_, Some(place)) => {
                let partial = slope(&mut graph, root, With::Parameter(place))?;
                vec![partial; 3]
            }
            (Of::Activation, None) => {
                let first = slope(&mut graph, root, With::Variable(0))?;
                let second = slope(&mut graph, first, With::Variable(0))?;
                vec![root, first, second]
            }
            (Of::Loss, None) => vec![root, slope(&mut graph, root, With::Variable(0))?],
        };
        let is_activation = key.of == Of::Activation && key.partial.is_none();
        let equal = is_activation.then(|| recognise(&mut graph, root)).flatten();
        let is_too_large =
            |id: &Id| graph.value(*id).is_some_and(|value| value.abs() > f64::from(f32::MAX));
        if let Some(value) = graph.live(&ids).into_iter().find(is_too_large) {
            let value = graph.value(value).unwrap_or_default();
            return Err(too_large(format!(
                "a constant of the formula or of its derivatives is {value:e}, more than f32 can hold"
            )));
        }
        let names = Names { variables, parameters: &parameters };
        let orders = ids
            .iter()
            .map(|&id| {
                let program = Program::new(&graph, id).ok_or_else(|| {
                    too_large(format!(
                        "a derivative needs more than {SLOTS} intermediate values; take a shorter formula"
                    ))
                })?;
                Ok(Derived { latex: graph.latex(id, names), program })
            })
            .collect::<Result<Vec<_>>>()?;
        let text = |order: usize| ids.get(order).map(|&id| graph.text(id, names));
        let texts = [0, 1, 2].map(|order| text(order).unwrap_or_default());
        let constants: Vec<&'static str> =
            parameters.iter().map(|name| &*format!("{}{name}", key.of.prefix()).leak()).collect();
        let wgsl = wgsl(key.of, &orders, &constants);
        let partial = key.partial.map(|place| format!(" by {}", parameters[usize::from(place)]));
        let label = format!("{} {:?}{}", key.of.noun(), key.text, partial.unwrap_or_default());
        let has_second_derivative = key.of == Of::Activation;
        Ok(Self {
            key,
            parameters,
            constants,
            orders,
            texts,
            equal,
            wgsl,
            has_second_derivative,
            label,
        })
    }
}

fn wgsl(of: Of, orders: &[Derived], constants: &[&str]) -> String {
    let (names, variables): (&[&str], &[&str]) = match of {
        Of::Activation => (&["forward", "derivative", "second_derivative"], &["z"]),
        Of::Loss => (&["loss", "gradient"], &["y", "t", "extra"]),
    };
    let prefix = of.prefix();
    let mut text = String::new();
    for constant in constants {
        text += &format!("override {constant}: f32 = 0.0;\n");
    }
    let mut powers: Vec<u32> = orders.iter().flat_map(|it| it.program.powers()).collect();
    powers.sort_unstable();
    powers.dedup();
    for n in powers {
        text += &power(prefix, n);
    }
    for (name, derived) in names.iter().zip(orders) {
        text += &derived.program.wgsl(name, prefix, variables, constants);
    }
    text
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.definition, other.definition) && self.values() == other.values()
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Custom({self})")
    }
}

/// The form that [`parse_call`] reads: `formula("z * sigmoid(beta * z)", beta=1.702)`.
impl fmt::Display for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Key { language, text, .. } = &self.definition.key;
        write!(f, "{}(\"{text}\"", language.name())?;
        for (name, value) in self.definition.parameters.iter().zip(self.values) {
            write!(f, ", {name}={}", Value::Number(value))?;
        }
        if let Some(name) = &self.definition.key.name {
            write!(f, ", name={name}")?;
        }
        f.write_str(")")
    }
}

/// A text of the form `formula("...", a=1, name=b)`, split into its parts.
pub struct QuotedCall<'a> {
    /// What stands between the quotation marks.
    pub quoted: &'a str,
    /// Parameters and their values, without the name.
    pub parameters: Vec<(&'a str, &'a str)>,
    /// The name, if one is given.
    pub name: Option<&'a str>,
}

/// Splits a text of this form; `None` for one that does not begin with `function("`.
///
/// # Errors
/// [`Error::InvalidParameter`] if it is not closed, or an argument has no `=`.
pub fn parse_quoted<'a>(function: &str, text: &'a str) -> Option<Result<QuotedCall<'a>>> {
    let inside = text.trim().strip_prefix(function)?.trim_start().strip_prefix('(')?.trim_start();
    let inside = inside.strip_prefix('"')?;
    let read = || {
        let malformed = |reason: &str| Error::text(text, reason);
        // Comments in WGSL may contain quotation marks; names and numbers do not.
        let (quoted, rest) =
            inside.rsplit_once('"').ok_or_else(|| malformed("the quotation mark is not closed"))?;
        let rest = rest
            .trim_end()
            .strip_suffix(')')
            .ok_or_else(|| malformed("the opening parenthesis is not closed"))?;
        let (mut parameters, mut name) = (Vec::new(), None);
        for argument in rest.split(',').map(str::trim).filter(|argument| !argument.is_empty()) {
            let (key, value) = argument
                .split_once('=')
                .map(|(key, value)| (key.trim(), value.trim()))
                .ok_or_else(|| malformed("parameters are written name=value"))?;
            if key == "name" {
                name = Some(value);
            } else {
                parameters.push((key, value));
            }
        }
        Ok(QuotedCall { quoted, parameters, name })
    };
    Some(read())
}

/// Reads the [`Display`](fmt::Display) form of a formula; `None` for a text that does not begin with `formula("`.
///
/// # Errors
/// As [`Custom::new`].
pub fn parse_call(of: Of, text: &str) -> Option<Result<Custom>> {
    let call = parse_quoted("formula", text)?;
    Some(call.and_then(|QuotedCall { quoted, parameters, name }| {
        let number = |(key, value): (_, &str)| match value.parse() {
            Ok(number) => Ok((key, number)),
            Err(_) => Err(Error::parameter(key, value, "must be a number")),
        };
        let parameters =
            parameters.into_iter().map(number).collect::<Result<Vec<(&str, f32)>>>()?;
        let custom = Custom::new(of, quoted, &parameters)?;
        name.map_or(Ok(custom), |name| custom.named(name))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A generator of texts that are mostly formulas.
    struct Texts(u64);

    impl Texts {
        fn next(&mut self, most: u64) -> u64 {
            // Knuth's linear congruential generator; the upper bits are random enough.
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % most
        }

        fn text(&mut self, depth: u64) -> String {
            const CALLS: [&str; 20] = [
                "exp",
                "expm1",
                "log",
                "log1p",
                "tanh",
                "sigmoid",
                "softplus",
                "erf",
                "erfc",
                "normal_cdf",
                "sin",
                "cos",
                "atan",
                "sqrt",
                "abs",
                "sign",
                "relu",
                "step",
                "gelu",
                "elu",
            ];
            const LEAVES: [&str; 12] =
                ["z", "a", "b", "z", "1", "2", "0.5", "-3", "0", "pi", "1e-3", "7"];
            if depth == 0 {
                return LEAVES[self.next(12) as usize].to_owned();
            }
            let choice = self.next(12);
            let (function, extreme) = (self.next(20) as usize, self.next(2) as usize);
            let exponent = self.next(5) as usize;
            let mut part = || self.text(depth - 1);
            match choice {
                0..=5 => {
                    let (a, b) = (part(), part());
                    format!("({a} {} {b})", ["+", "-", "*", "/", "*", "+"][choice as usize])
                }
                6 => {
                    format!("({})^{}", part(), ["2", "3", "0.5", "-1", "b"][exponent])
                }
                7 => format!("-{}", part()),
                8 => format!("select({} < {}, {}, {})", part(), part(), part(), part()),
                9 => format!("{}({}, {})", ["min", "max"][extreme], part(), part()),
                _ => format!("{}({})", CALLS[function], part()),
            }
        }
    }

    #[test]
    fn whatever_is_parsed_is_derived_in_bounded_time() {
        let mut texts = Texts(1);
        let (mut parsed, mut compared) = (0, 0);
        for number in 0..3000 {
            let depth = 1 + number % 5;
            let mut text = texts.text(depth);
            if number % 7 == 0 {
                // Broken somewhere.
                let place = texts.next(text.len() as u64) as usize;
                text.replace_range(
                    place..=place,
                    ["(", ")", "^", ",", "", "<", "9"][texts.next(7) as usize],
                );
            }
            let start = std::time::Instant::now();
            let parameters: Vec<(&str, f32)> = [("a", 0.7), ("b", 1.3)]
                .into_iter()
                .filter(|(name, _)| text.contains(name))
                .collect();
            let custom = Custom::new(Of::Activation, &text, &parameters);
            let seconds = start.elapsed().as_secs_f64();
            assert!(seconds < 2.0, "{seconds} s for {text}");
            let Ok(custom) = custom else { continue };
            parsed += 1;
            let g = |z: f64| custom.at(0, &[z]);
            for z in [0.31, -0.77, 1.9] {
                let step = 1e-6;
                let (low, high, slope) = (g(z - step), g(z + step), custom.at(1, &[z]));
                let estimate = (high - low) / (2.0 * step);
                let bend = (custom.at(1, &[z + step]) - custom.at(1, &[z - step])).abs();
                let size = 1.0 + g(z).abs() + slope.abs();
                // Where finite differences say anything.
                let is_smooth =
                    bend < 1e-3 * size && size < 1e4 && (high - low).abs() < 1e-3 * size;
                if is_smooth && estimate.is_finite() && slope.is_finite() {
                    compared += 1;
                    assert!(
                        (slope - estimate).abs() < 1e-3 * size + bend,
                        "{text} at {z}: {slope} {estimate}"
                    );
                }
            }
            custom.warnings();
            assert_eq!(parse_call(Of::Activation, &custom.to_string()).unwrap().unwrap(), custom);
        }
        println!("{parsed} parsed, {compared} slopes compared");
        assert!(parsed > 1500 && compared > 2000, "{parsed} {compared}");
    }
}
