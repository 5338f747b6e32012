//! What the catalogues of activations and losses share: an enum from rows, with its parameters by name.

/// Defines an enum whose variants have a canonical name and named parameters with defaults, and for it:
/// constructors, `all`, `name`, `parameters`, `validate`, `Display` and `FromStr`.
macro_rules! catalogue {
    (
        $kind:literal
        $(#[$enum_doc:meta])*
        pub enum $Enum:ident {
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

            /// The place in the catalogue.
            const fn index(&self) -> usize {
                #[allow(non_camel_case_types, clippy::enum_variant_names)]
                enum Index { $( $name ),+ }
                match self { $( Self::$Variant { .. } => Index::$name as usize, )+ }
            }

            /// The values of the parameters.
            fn values(&self) -> Vec<Value> {
                match *self { $(
                    Self::$Variant { $( $( $parameter ),+ )? } => {
                        vec![ $( $( Parameter::value($parameter) ),+ )? ]
                    }
                )+ }
            }

            /// Sets the parameters to values of their types; others stay.
            fn set(&mut self, values: &[Value]) {
                let mut values = values.iter().copied();
                match self { $( Self::$Variant { $( $( $parameter ),+ )? } => {
                    $( $( if let Some(value) = values.next().and_then(Parameter::of) {
                        *$parameter = value;
                    } )+ )?
                } )+ }
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
                } )+ }
                Ok(())
            }

            /// The canonical name, without parameters.
            pub const fn name(&self) -> &'static str {
                Self::ENTRIES[self.index()].name
            }

            /// The names and values of the parameters, as [`Display`](std::fmt::Display) prints them.
            pub fn parameters(&self) -> Vec<(&'static str, String)> {
                let names = Self::ENTRIES[self.index()].parameters.iter().map(|parameter| parameter.name);
                names.zip(self.values().iter().map(Value::to_string)).collect()
            }

            /// That every parameter is finite and in its range.
            pub(crate) fn validate(&self) -> $crate::error::Result<()> {
                Self::ENTRIES[self.index()].check(&self.values())?;
                self.check_rule()
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                Self::ENTRIES[self.index()].print(&self.values(), f)
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = $crate::error::Error;

            fn from_str(text: &str) -> $crate::error::Result<Self> {
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
