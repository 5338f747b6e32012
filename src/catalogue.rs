//! What the catalogues of activations and losses share: named parameters, printing and parsing.

use std::ops::RangeInclusive;

use crate::error::{EXCERPT, Error, Result, excerpt};

/// A named parameter of an activation or a loss.
pub(crate) trait Parameter: Copy {
    fn parse(name: &str, text: &str) -> Result<Self>;
    fn print(self) -> String;
    /// That the value is one to compute with.
    fn check(self, name: &str) -> Result<()>;
    /// The value as a shader's constant of this name; `None` if it takes no part in the arithmetic.
    fn constant(self, name: &'static str, default: Self) -> Option<Constant>;
}

/// A parameter as the kernels know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constant {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) kind: ConstantKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConstantKind {
    /// One of few values.
    Choice,
    /// A number, which may be another one at every step.
    Number { is_default: bool },
}

impl Parameter for f32 {
    fn parse(name: &str, text: &str) -> Result<Self> {
        let value =
            text.parse::<f32>().map_err(|_| Error::parameter(name, text, "must be a number"))?;
        value.check(name)?;
        Ok(value)
    }

    fn print(self) -> String {
        // 1e-8 rather than 0.00000001.
        let is_plain = self == 0.0 || (1e-4..1e16).contains(&self.abs());
        if is_plain { self.to_string() } else { format!("{self:e}") }
    }

    fn check(self, name: &str) -> Result<()> {
        if self.is_finite() { Ok(()) } else { Err(Error::parameter(name, self, "must be finite")) }
    }

    fn constant(self, name: &'static str, default: Self) -> Option<Constant> {
        let kind = ConstantKind::Number { is_default: self.to_bits() == default.to_bits() };
        Some(Constant { name, value: self.into(), kind })
    }
}

impl Parameter for Option<i32> {
    fn parse(name: &str, text: &str) -> Result<Self> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(None);
        }
        let error = |_| Error::parameter(name, text, "must be an integer or none");
        text.parse().map(Some).map_err(error)
    }

    fn print(self) -> String {
        self.map_or_else(|| "none".to_owned(), |value| value.to_string())
    }

    fn check(self, _name: &str) -> Result<()> {
        Ok(())
    }

    fn constant(self, _name: &'static str, _default: Self) -> Option<Constant> {
        None
    }
}

/// A parameter that the standard library parses and prints, and that can have any value.
macro_rules! plain_parameter {
    ($Type:ty, $reason:literal) => {
        impl Parameter for $Type {
            fn parse(name: &str, text: &str) -> Result<Self> {
                let text = text.to_ascii_lowercase();
                text.parse().map_err(|_| Error::parameter(name, text, $reason))
            }

            fn print(self) -> String {
                self.to_string()
            }

            fn check(self, _name: &str) -> Result<()> {
                Ok(())
            }

            fn constant(self, name: &'static str, _default: Self) -> Option<Constant> {
                Some(Constant { name, value: self.into(), kind: ConstantKind::Choice })
            }
        }
    };
}

plain_parameter!(bool, "must be true or false");
plain_parameter!(u32, "must be an integer that is not negative");

pub(crate) fn check_range(name: &str, value: f32, range: RangeInclusive<f32>) -> Result<()> {
    if range.contains(&value) {
        return Ok(());
    }
    let (low, high) = range.into_inner();
    Err(Error::parameter(name, value, format!("must be from {low} to {high}")))
}

/// `name(key=value, ...)`, taken apart.
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) arguments: Vec<(&'a str, &'a str)>,
}

impl<'a> Call<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self> {
        let text = text.trim();
        let malformed = |reason: &str| Error::text(text, reason);
        let Some((name, rest)) = text.split_once('(') else {
            return Ok(Self { name: text, arguments: Vec::new() });
        };
        let inside = rest
            .strip_suffix(')')
            .ok_or_else(|| malformed("the opening parenthesis is not closed"))?;
        let arguments = inside
            .split(',')
            .filter(|argument| !argument.trim().is_empty())
            .map(|argument| {
                argument
                    .split_once('=')
                    .map(|(key, value)| (key.trim(), value.trim()))
                    .ok_or_else(|| malformed("parameters are written name=value"))
            })
            .collect::<Result<_>>()?;
        Ok(Self { name: name.trim(), arguments })
    }
}

/// Whether two names are one, capitals, hyphens, underscores and spaces aside.
pub(crate) fn same_name(a: &str, b: &str) -> bool {
    a.len().max(b.len()) <= LONGEST && plain(a).eq(plain(b))
}

/// The bytes of a name, capitals, hyphens and underscores and all: longer texts are none, without a look.
const LONGEST: usize = 256;

fn plain(name: &str) -> impl Iterator<Item = char> {
    let separator = |character: &char| !matches!(character, '_' | '-' | ' ');
    name.chars().filter(separator).map(|character| character.to_ascii_lowercase())
}

/// The error for a name that is not among the known ones: it lists the nearest.
pub(crate) fn unknown_name(kind: &'static str, name: &str, known: &[&'static str]) -> Error {
    // No name is longer, and the distance takes time with the product of the lengths.
    let wanted: String = plain(name).take(EXCERPT).collect();
    let mut nearest: Vec<&'static str> = known.to_vec();
    let distance = |candidate: &&str| {
        strsim::damerau_levenshtein(&wanted, &plain(candidate).collect::<String>())
    };
    nearest.sort_by_cached_key(distance);
    nearest.truncate(3);
    Error::UnknownName { kind, name: excerpt(name).into_owned(), nearest }
}

/// The error for a parameter that a text has more than once.
pub(crate) fn given_twice(name: &str, value: &str) -> Error {
    Error::parameter(name, value, "is given twice; give it once")
}

/// Defines an enum whose variants have a canonical name and named parameters with defaults, and
/// for it: constructors, `all`, `name`, `parameters`, `validate`, `Display` and `FromStr`.
macro_rules! catalogue {
    (
        $kind:literal
        $(#[$enum_doc:meta])*
        pub enum $Enum:ident {
            $(
                $(#[$doc:meta])*
                $Variant:ident = $name:ident
                $( ( $( $(#[$parameter_doc:meta])* $parameter:ident : $Type:ty = $default:expr $(, in $range:expr)? );+ ) $(=> [$rule:expr, $reason:literal])? )?
                $(; $note:literal)?
            )+
        }
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $Enum {
            $(
                $(#[$doc])*
                $Variant $( { $( $(#[$parameter_doc])* $parameter: $Type ),+ } )?,
            )+
        }

        impl $Enum {
            const NAMES: &[&'static str] = &[ $( stringify!($name) ),+ ];

            $(
                #[doc = concat!("[`", stringify!($Enum), "::", stringify!($Variant), "`] with the field's default parameters.")]
                $( #[doc = concat!("\n", $note)] )?
                pub const fn $name() -> Self {
                    Self::$Variant { $( $( $parameter: $default ),+ )? }
                }
            )+

            /// Every entry of the catalogue, with its default parameters.
            pub fn all() -> impl ExactSizeIterator<Item = Self> {
                [ $( Self::$name() ),+ ].into_iter()
            }

            /// The canonical name, without parameters.
            pub const fn name(&self) -> &'static str {
                match self { $( Self::$Variant { .. } => stringify!($name), )+ }
            }

            /// The names and values of the parameters, as [`Display`](std::fmt::Display) prints them.
            pub fn parameters(&self) -> Vec<(&'static str, String)> {
                match *self {
                    $( Self::$Variant { $( $( $parameter ),+ )? } => vec![
                        $( $( (stringify!($parameter), $crate::catalogue::Parameter::print($parameter)) ),+ )?
                    ], )+
                }
            }

            /// That every parameter is finite and in its range.
            pub(crate) fn validate(&self) -> $crate::error::Result<()> {
                match *self {
                    $( Self::$Variant { $( $( $parameter ),+ )? } => {
                        $( $(
                            $crate::catalogue::Parameter::check($parameter, stringify!($parameter))?;
                            $( $crate::catalogue::check_range(stringify!($parameter), $parameter, $range)?; )?
                        )+
                        $(
                            let holds = $rule;
                            if !holds {
                                return Err($crate::error::Error::parameter("parameters", self, $reason));
                            }
                        )? )?
                    } )+
                }
                Ok(())
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let parameters = self.parameters();
                f.write_str(self.name())?;
                for (index, (name, value)) in parameters.iter().enumerate() {
                    write!(f, "{}{name}={value}", if index == 0 { "(" } else { ", " })?;
                }
                f.write_str(if parameters.is_empty() { "" } else { ")" })
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> $crate::error::Result<Self> {
                let call = $crate::catalogue::Call::parse(text)?;
                let mut entry = Self::all()
                    .find(|entry| $crate::catalogue::same_name(entry.name(), call.name))
                    .ok_or_else(|| $crate::catalogue::unknown_name($kind, call.name, Self::NAMES))?;
                let mut given: Vec<&'static str> = Vec::new();
                for (key, value) in call.arguments {
                    match &mut entry {
                        $( Self::$Variant { $( $( $parameter ),+ )? } => {
                            $( $(
                                if $crate::catalogue::same_name(stringify!($parameter), key) {
                                    if given.contains(&stringify!($parameter)) {
                                        return Err($crate::catalogue::given_twice(stringify!($parameter), value));
                                    }
                                    given.push(stringify!($parameter));
                                    *$parameter = $crate::catalogue::Parameter::parse(stringify!($parameter), value)?;
                                    continue;
                                }
                            )+ )?
                            let known: &[&'static str] = &[ $( $( stringify!($parameter) ),+ )? ];
                            return Err(if known.is_empty() {
                                $crate::error::Error::parameter(key, value, format!("{} has no parameters", call.name))
                            } else {
                                $crate::catalogue::unknown_name("parameter", key, known)
                            });
                        } )+
                    }
                }
                entry.validate()?;
                Ok(entry)
            }
        }
    };
}

pub(crate) use catalogue;
