//! Values that serde stores as their text.

/// Implements serde's traits for types that `Display` and `FromStr` round-trip.
#[doc(hidden)]
#[macro_export]
macro_rules! as_text {
    ($Type:ty, $expected:literal) => {
        #[cfg(feature = "serde")]
        const _: () = {
            use serde::de::{Deserialize, Deserializer, Error, Visitor};

            impl serde::Serialize for $Type {
                fn serialize<S: serde::Serializer>(
                    &self,
                    serializer: S,
                ) -> Result<S::Ok, S::Error> {
                    serializer.collect_str(self)
                }
            }

            struct Text;

            impl Visitor<'_> for Text {
                type Value = $Type;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str($expected)
                }

                fn visit_str<E: Error>(self, text: &str) -> Result<$Type, E> {
                    text.parse().map_err(E::custom)
                }
            }

            impl<'de> Deserialize<'de> for $Type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    deserializer.deserialize_str(Text)
                }
            }
        };
    };
}
