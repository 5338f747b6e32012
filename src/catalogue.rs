//! What the catalogues of activations and losses share: an enum from rows, with its parameters by name.

/// Defines an enum whose variants have a canonical name and named parameters with defaults, and for it:
/// constructors, `all`, `name`, `parameters`, `validate`, `Display` and `FromStr`.
macro_rules! catalogue {
    (
        $kind:literal, with the names of other libraries in $names:expr;
        $(#[$enum_doc:meta])*
        pub enum $Enum:ident {
            $(#[$custom_doc:meta])*
            custom $Custom:ty;
            $(
                $(#[$doc:meta])*
                $Variant:ident = $name:ident
                $(
                    ( $( $(#[$parameter_doc:meta])* $parameter:ident : $Type:ty = $default:expr $(, in $range:expr)? );+ )
                    $( => [$rule:expr, $reason:literal] )?
                )?
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
            $(#[$custom_doc])*
            Custom($Custom),
        }

        impl $Enum {
            const ENTRIES: &[Entry] = &[ $( Entry {
                name: stringify!($name),
                parameters: &[ $( $( ParameterRow {
                    name: stringify!($parameter),
                    range: $crate::catalogue::catalogue!(@optional $($range)?),
                } ),+ )? ],
            } ),+ ];

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

            /// The formula of the caller's; an error for an entry of the catalogue, which does not have what is asked
            /// for.
            pub(crate) fn custom(&self, what: &str) -> $crate::error::Result<&$Custom> {
                match self {
                    Self::Custom(custom) => Ok(custom),
                    _ => Err($crate::error::Error::Unsupported {
                        what: format!("{what} for {self}"),
                        reason: concat!(
                            "only formulas have this; see ", stringify!($Enum), "::from_formula"
                        ).to_owned(),
                    }),
                }
            }

            /// The place in the catalogue; `None` for a formula of the caller's.
            const fn index(&self) -> Option<usize> {
                #[allow(non_camel_case_types, clippy::enum_variant_names)]
                enum Index { $( $name ),+ }
                match self {
                    $( Self::$Variant { .. } => Some(Index::$name as usize), )+
                    Self::Custom(_) => None,
                }
            }

            /// The values of the parameters.
            fn values(&self) -> Vec<Value> {
                match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => {
                        vec![ $( $( Parameter::value($parameter) ),+ )? ]
                    }
                )+
                    Self::Custom(ref custom) => {
                        custom.values().iter().map(|value| Parameter::value(*value)).collect()
                    }
                }
            }

            /// Sets the parameters to values of their types; others stay.
            fn set(&mut self, values: &[Value]) {
                let mut values = values.iter().copied();
                match self { $( Self::$Variant { $( $( $parameter ),+ )? } => {
                    $( $( if let Some(value) = values.next().and_then(Parameter::of) {
                        *$parameter = value;
                    } )+ )?
                } )+
                    Self::Custom(_) => {}
                }
                debug_assert!(values.next().is_none());
            }

            /// That the parameters go together.
            #[allow(unused_variables)]
            fn check_rule(&self) -> $crate::error::Result<()> {
                match *self { $( Self::$Variant { $( $( $parameter ),+ )? } => {
                    $( $(
                        let holds = $rule;
                        if !holds {
                            return Err($crate::error::Error::parameter("parameters", self, $reason));
                        }
                    )? )?
                } )+
                    Self::Custom(_) => {}
                }
                Ok(())
            }

            /// The canonical name, without parameters; for a formula the name that it was given, or `formula`.
            pub const fn name(&self) -> &'static str {
                match self {
                    Self::Custom(custom) => custom.name(),
                    _ => match self.index() {
                        Some(index) => Self::ENTRIES[index].name,
                        None => "formula",
                    },
                }
            }

            /// The names and values of the parameters, as [`Display`](std::fmt::Display) prints them.
            pub fn parameters(&self) -> Vec<(&'static str, String)> {
                let names: Vec<&'static str> = match (self, self.index()) {
                    (Self::Custom(custom), _) => custom.parameter_names().to_vec(),
                    (_, Some(index)) => {
                        Self::ENTRIES[index].parameters.iter().map(|it| it.name).collect()
                    }
                    (_, None) => Vec::new(),
                };
                names.into_iter().zip(self.values().iter().map(Value::to_string)).collect()
            }

            /// That every parameter is finite and in its range.
            pub(crate) fn validate(&self) -> $crate::error::Result<()> {
                // The numbers of a formula were checked when it was made.
                let Some(index) = self.index() else { return Ok(()) };
                Self::ENTRIES[index].check(&self.values())?;
                self.check_rule()
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match (self, self.index()) {
                    (Self::Custom(custom), _) => custom.fmt(f),
                    (_, Some(index)) => Self::ENTRIES[index].print(&self.values(), f),
                    (_, None) => Ok(()),
                }
            }
        }

        wgrad_formula::as_text!($Enum, $kind);

        impl std::str::FromStr for $Enum {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> $crate::error::Result<Self> {
                if let Some(custom) = Self::parse_custom(text) {
                    return custom;
                }
                let translated = $crate::names::resolve($kind, $names, text).transpose()?;
                let text = translated.as_deref().unwrap_or(text);
                let defaults: Vec<Self> = Self::all().collect();
                let values = |index: usize| defaults[index].values();
                let (index, values) = parameters::parse($kind, Self::ENTRIES, values, text)?;
                let mut entry = defaults[index];
                entry.set(&values);
                entry.validate()?;
                Ok(entry)
            }
        }
    };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
}

pub(crate) use catalogue;
