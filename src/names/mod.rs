//! Names of activations and losses in other libraries, and in the files that these write.

mod activations;
mod losses;

use wgrad_formula::data::names::{given_twice, same_name};

use Argument::{Chooses, Defaults, Ignored, Is, Only, Or};
pub(crate) use activations::ACTIVATIONS;
pub(crate) use losses::LOSSES;

use crate::error::{Error, Result};

/// Names in other libraries that mean the same. They are compared without case, `_` and `-`.
pub(crate) struct Row {
    /// The libraries.
    pub(crate) library: &'static str,
    pub(crate) names: &'static [&'static str],
    pub(crate) meaning: Meaning,
}

/// Names of other libraries as a document shows them.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub struct OtherNames {
    pub kind: &'static str,
    pub library: &'static str,
    pub names: &'static [&'static str],
    /// The catalogue's text, or what to use instead.
    pub meaning: &'static str,
    pub arguments: Vec<String>,
}

/// All names of other libraries.
#[doc(hidden)]
pub fn other_names() -> Vec<OtherNames> {
    let of = |kind, rows: &'static [Row]| {
        rows.iter().map(move |row| {
            let (meaning, arguments) = match row.meaning {
                Meaning::Entry(entry, arguments) => (entry, arguments),
                Meaning::Formula(text) | Meaning::Elsewhere(text) => (text, &[][..]),
            };
            let arguments = arguments.iter().filter_map(|(name, argument)| argument.shown(name));
            let (library, names) = (row.library, row.names);
            OtherNames { kind, library, names, meaning, arguments: arguments.collect() }
        })
    };
    of("activation", ACTIVATIONS).chain(of("loss", LOSSES)).collect()
}

/// What a name stands for.
pub(crate) enum Meaning {
    /// An entry of the catalogue, as its text, and the arguments in the order in which they may be given without their
    /// names.
    Entry(&'static str, &'static [(&'static str, Argument)]),
    /// Nothing in the catalogue; this formula computes it.
    Formula(&'static str),
    /// Another part of wgrad, or nothing; the message says what to use.
    Elsewhere(&'static str),
}

/// What an argument does.
#[derive(Clone, Copy)]
pub(crate) enum Argument {
    /// It is the parameter of this name.
    Is(&'static str),
    /// It is the parameter of the first name; without it, if another of this kind is given, the parameter is the second.
    Or(&'static str, &'static str),
    /// It is the parameter of the first name; without it the parameter is the second.
    Defaults(&'static str, &'static str),
    /// It chooses among entries, by its value.
    Chooses(&'static [(&'static str, &'static str)]),
    /// It must have one of these values, which mean nothing else; the message is for others.
    Only(&'static [&'static str], &'static str),
    /// It does not change the result.
    Ignored,
}

impl Argument {
    /// The argument of this name in a document; `None` for one that may be left out without a loss.
    fn shown(self, name: &str) -> Option<String> {
        match self {
            Is(parameter) if parameter == name => Some(name.to_owned()),
            Is(parameter) => Some(format!("{name} is {parameter}")),
            Or(parameter, default) => {
                Some(format!("{name} is {parameter}, {default} if the other is given alone"))
            }
            Defaults(parameter, default) => {
                Some(format!("{name} is {parameter}, {default} by default"))
            }
            Chooses(entries) => {
                let choice = |(value, entry): &(&str, &str)| format!("{name}={value}: {entry}");
                Some(entries.iter().map(choice).collect::<Vec<_>>().join(", "))
            }
            Only(..) | Ignored => None,
        }
    }
}

/// The prefixes that a name may have. What follows the longest one is looked up.
const PREFIXES: [&str; 15] = [
    "torch.nn.functional.",
    "torch.nn.",
    "torch.",
    "nn.functional.",
    "nn.",
    "F.",
    "tf.keras.activations.",
    "tf.keras.losses.",
    "keras.activations.",
    "keras.losses.",
    "keras.layers.",
    "keras.ops.",
    "tf.nn.",
    "jax.nn.",
    "optax.",
];

/// A text such as `nn.LeakyReLU(0.2, inplace=True)`, split into its parts.
struct Call<'a> {
    prefix: &'a str,
    name: &'a str,
    /// Keys, empty for an argument without one, and values.
    arguments: Vec<(&'a str, &'a str)>,
}

impl<'a> Call<'a> {
    /// `None` if it is no call: the catalogue's parser then says what is wrong.
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (name, inside) = match text.split_once('(') {
            Some((name, rest)) => (name.trim(), rest.trim_end().strip_suffix(')')?),
            None => (text, ""),
        };
        let starts = |prefix: &&&str| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let prefix = PREFIXES.iter().filter(starts).max_by_key(|prefix| prefix.len());
        let (prefix, name) = name.split_at(prefix.map_or(0, |prefix| prefix.len()));
        let arguments = inside.split(',').map(str::trim).filter(|argument| !argument.is_empty());
        let argument = |argument: &'a str| match argument.split_once('=') {
            Some((key, value)) => (key.trim(), plain(value)),
            None => ("", plain(argument)),
        };
        Some(Self { prefix, name, arguments: arguments.map(argument).collect() })
    }
}

/// A value without quotation marks.
fn plain(value: &str) -> &str {
    value.trim().trim_matches(['\'', '"'])
}

/// The text of the catalogue for a text of another library; `None` if the name is of no other.
///
/// # Errors
/// [`Error::Unsupported`] for what the catalogue does not have; [`Error::InvalidParameter`] for an argument.
pub(crate) fn resolve(kind: &str, rows: &[Row], text: &str) -> Option<Result<String>> {
    let call = Call::parse(text)?;
    let prefix = call.prefix.to_ascii_lowercase();
    // The functions of a library may differ from what others call by the same name.
    let family = match prefix.as_str() {
        "f." | "nn.functional." | "torch.nn.functional." => "F.",
        "jax.nn." => "jax.nn.",
        "tf.nn." => "tf.nn.",
        _ if prefix.contains("keras") => "keras.",
        _ => "",
    };
    let qualified = format!("{family}{}", call.name);
    let find =
        |name: &str| rows.iter().find(|row| row.names.iter().any(|known| same_name(known, name)));
    let row = find(&qualified).or_else(|| find(call.name));
    let Some(row) = row else {
        // The catalogue's own name, after a prefix or with empty parentheses.
        let is_bare = !call.prefix.is_empty() || call.arguments.is_empty() && text.contains('(');
        let arguments: Vec<String> =
            call.arguments.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let arguments = match arguments.is_empty() {
            true => String::new(),
            false => format!("({})", arguments.join(", ")),
        };
        return is_bare.then(|| Ok(format!("{}{arguments}", call.name)));
    };
    Some(match row.meaning {
        Meaning::Entry(entry, arguments) => translate(&call, entry, arguments),
        Meaning::Formula(formula) => Err(Error::Unsupported {
            what: format!("the {kind} {}", call.name),
            reason: format!("the catalogue does not have it; as a formula it is {formula}"),
        }),
        Meaning::Elsewhere(instead) => Err(Error::Unsupported {
            what: format!("the {kind} {}", call.name),
            reason: instead.to_owned(),
        }),
    })
}

/// Writes a call with the names of the catalogue.
fn translate(
    call: &Call<'_>,
    entry: &'static str,
    known: &'static [(&'static str, Argument)],
) -> Result<String> {
    let mut entry = entry.to_owned();
    let mut given: Vec<(&str, String)> = Vec::new();
    let (mut has_keys, mut is_foreign) = (false, false);
    for (place, &(key, value)) in call.arguments.iter().enumerate() {
        has_keys |= !key.is_empty();
        if key.is_empty() && has_keys {
            let reason = "an argument without a name follows one with a name; give it a name";
            return Err(Error::parameter(call.name, value, reason));
        }
        let found = match key.is_empty() {
            true => known.get(place),
            false => known.iter().find(|(name, _)| same_name(name, key)),
        };
        let Some(&(key, argument)) = found else {
            if key.is_empty() {
                let reason = format!("{} has {} arguments", call.name, known.len());
                return Err(Error::parameter(call.name, value, reason));
            }
            // A parameter of the catalogue's, or an error of its parser.
            push(&mut given, key, value)?;
            continue;
        };
        is_foreign |= matches!(argument, Or(..));
        match argument {
            Is(parameter) | Or(parameter, _) | Defaults(parameter, _) => {
                push(&mut given, parameter, value)?;
            }
            Chooses(entries) => {
                let chosen = entries.iter().find(|(of, _)| of.eq_ignore_ascii_case(value));
                let Some((_, chosen)) = chosen else {
                    let values: Vec<&str> = entries.iter().map(|(value, _)| *value).collect();
                    let reason = format!("must be one of: {}", values.join(", "));
                    return Err(Error::parameter(key, value, reason));
                };
                (*chosen).clone_into(&mut entry);
            }
            Only(values, reason) => {
                if !values.iter().any(|it| it.eq_ignore_ascii_case(value)) {
                    return Err(Error::parameter(key, value, reason));
                }
            }
            Ignored => {}
        }
    }
    for (_, argument) in known {
        let default = match argument {
            Or(parameter, default) if is_foreign => (parameter, default),
            Defaults(parameter, default) => (parameter, default),
            _ => continue,
        };
        if !given.iter().any(|(name, _)| name == default.0) {
            given.push((*default.0, (*default.1).to_owned()));
        }
    }
    if given.is_empty() {
        return Ok(entry);
    }
    let given: Vec<String> = given.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let given = given.join(", ");
    Ok(match entry.strip_suffix(')') {
        Some(entry) => format!("{entry}, {given})"),
        None => format!("{entry}({given})"),
    })
}

fn push<'a>(given: &mut Vec<(&'a str, String)>, name: &'a str, value: &str) -> Result<()> {
    if let Some((known, _)) = given.iter().find(|(known, _)| same_name(known, name)) {
        return Err(given_twice(known, value));
    }
    given.push((name, value.to_owned()));
    Ok(())
}
