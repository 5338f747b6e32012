//! Catalogues as plain data: entries with named parameters, and the code that
//! parses, prints and checks them.

use std::fmt;
use std::ops::RangeInclusive;

use super::error::{Error, Result};
use super::names::{Call, given_twice, same_name, unknown_name};

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Any finite number.
    Number(f32),
    /// Yes or no.
    Flag(bool),
    /// A small integer.
    Count(u32),
    /// A class, or none.
    Class(Option<i32>),
}

/// A Rust type that parameters can have.
pub trait Parameter: Copy {
    /// Converts the parameter into a value.
    fn value(self) -> Value;
    /// Converts a value into the parameter; `None` if the value is of another type.
    fn of(value: Value) -> Option<Self>;
}

macro_rules! parameter {
    ($Type:ty, $Variant:ident) => {
        impl Parameter for $Type {
            fn value(self) -> Value {
                Value::$Variant(self)
            }

            fn of(value: Value) -> Option<Self> {
                if let Value::$Variant(value) = value { Some(value) } else { None }
            }
        }
    };
}

parameter!(f32, Number);
parameter!(bool, Flag);
parameter!(u32, Count);
parameter!(Option<i32>, Class);

impl Value {
    /// Reads a value of the same type as this one.
    fn parse(self, name: &str, text: &str) -> Result<Self> {
        let error = |reason: &str| Error::parameter(name, text, reason);
        match self {
            Self::Number(_) => {
                let value = text.parse().map(Self::Number);
                let value = value.map_err(|_| error("must be a number"))?;
                value.check_finite(name)?;
                Ok(value)
            }
            Self::Flag(_) => {
                let text = text.to_ascii_lowercase();
                let error = |_| Error::parameter(name, &text, "must be true or false");
                text.parse().map(Self::Flag).map_err(error)
            }
            Self::Count(_) => {
                let text = text.to_ascii_lowercase();
                let reason = "must be an integer that is not negative";
                let error = |_| Error::parameter(name, &text, reason);
                text.parse().map(Self::Count).map_err(error)
            }
            Self::Class(_) if text.eq_ignore_ascii_case("none") => Ok(Self::Class(None)),
            Self::Class(_) => text
                .parse()
                .map(|class| Self::Class(Some(class)))
                .map_err(|_| error("must be an integer or none")),
        }
    }

    fn check_finite(self, name: &str) -> Result<()> {
        match self {
            Self::Number(number) if !number.is_finite() => {
                Err(Error::parameter(name, number, "must be finite"))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => {
                // 1e-8 rather than 0.00000001.
                let is_plain = *number == 0.0 || (1e-4..1e16).contains(&number.abs());
                if is_plain { write!(f, "{number}") } else { write!(f, "{number:e}") }
            }
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Count(count) => write!(f, "{count}"),
            Self::Class(Some(class)) => write!(f, "{class}"),
            Self::Class(None) => f.write_str("none"),
        }
    }
}

/// A parameter of an entry.
#[derive(Clone, Debug)]
pub struct ParameterRow {
    /// Its name.
    pub name: &'static str,
    /// The range of numbers that it may have; `None` if any finite number is allowed.
    pub range: Option<RangeInclusive<f32>>,
}

/// An entry of a catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The canonical name.
    pub name: &'static str,
    /// Its parameters, in the order in which they are printed.
    pub parameters: &'static [ParameterRow],
}

impl Entry {
    /// Checks that every value is finite and in its range.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn check(&self, values: &[Value]) -> Result<()> {
        for (ParameterRow { name, range }, &value) in self.parameters.iter().zip(values) {
            value.check_finite(name)?;
            if let (Some(range), Value::Number(number)) = (range, value)
                && !range.contains(&number)
            {
                let reason = format!("must be from {} to {}", range.start(), range.end());
                return Err(Error::parameter(*name, number, reason));
            }
        }
        Ok(())
    }

    /// Prints the entry with these values, as [`parse`] reads it.
    ///
    /// # Errors
    /// The errors of the formatter.
    pub fn print(&self, values: &[Value], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        for (index, (parameter, value)) in self.parameters.iter().zip(values).enumerate() {
            write!(f, "{}{}={value}", if index == 0 { "(" } else { ", " }, parameter.name)?;
        }
        f.write_str(if self.parameters.is_empty() { "" } else { ")" })
    }
}

/// The index of the entry that the text names, and its values. Values that the text does not give
/// are the defaults, which the function returns for an index.
///
/// # Errors
/// [`Error::UnknownName`], [`Error::InvalidParameter`].
pub fn parse(
    kind: &'static str,
    entries: &[Entry],
    defaults: impl Fn(usize) -> Vec<Value>,
    text: &str,
) -> Result<(usize, Vec<Value>)> {
    let call = Call::parse(text)?;
    let index =
        entries.iter().position(|entry| same_name(entry.name, call.name)).ok_or_else(|| {
            let names: Vec<&'static str> = entries.iter().map(|entry| entry.name).collect();
            unknown_name(kind, call.name, &names)
        })?;
    let (parameters, mut values) = (entries[index].parameters, defaults(index));
    let mut given = vec![false; values.len()];
    for (key, text) in call.arguments {
        let Some(place) = parameters.iter().position(|parameter| same_name(parameter.name, key))
        else {
            let known: Vec<&'static str> = parameters.iter().map(|p| p.name).collect();
            return Err(match known.is_empty() {
                true => Error::parameter(key, text, format!("{} has no parameters", call.name)),
                false => unknown_name("parameter", key, &known),
            });
        };
        let name = parameters[place].name;
        if std::mem::replace(&mut given[place], true) {
            return Err(given_twice(name, text));
        }
        values[place] = values[place].parse(name, text)?;
    }
    Ok((index, values))
}

/// A parameter in the form that the kernels use.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// Its name in the WGSL.
    pub name: &'static str,
    /// Its value.
    pub value: f64,
    /// How often it may change.
    pub kind: ConstantKind,
}

/// How often a parameter may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstantKind {
    /// One of a few values.
    Choice,
    /// A number, which may be different at every step.
    Number {
        /// Whether it is the default of its entry.
        is_default: bool,
    },
}

impl Constant {
    /// The constant with this name; `None` for a class, which takes no part in the arithmetic.
    pub fn new(name: &'static str, value: Value, default: Value) -> Option<Self> {
        let (value, kind) = match (value, default) {
            (Value::Number(number), Value::Number(default)) => {
                let is_default = number.to_bits() == default.to_bits();
                (number.into(), ConstantKind::Number { is_default })
            }
            (Value::Number(number), _) => {
                (number.into(), ConstantKind::Number { is_default: false })
            }
            (Value::Flag(flag), _) => (flag.into(), ConstantKind::Choice),
            (Value::Count(count), _) => (count.into(), ConstantKind::Choice),
            (Value::Class(_), _) => return None,
        };
        Some(Self { name, value, kind })
    }
}
