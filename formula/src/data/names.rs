//! Names as people write them.

use super::error::{EXCERPT, Error, Result, excerpt};

/// A text of the form `name(key=value, ...)`, split into its parts.
pub struct Call<'a> {
    /// The text before the parenthesis.
    pub name: &'a str,
    /// Keys and values, in the order of the text.
    pub arguments: Vec<(&'a str, &'a str)>,
}

impl<'a> Call<'a> {
    /// Splits the text into its parts.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if a parenthesis is not closed or an argument has no `=`.
    pub fn parse(text: &'a str) -> Result<Self> {
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

/// Whether two names are the same, ignoring case, hyphens, underscores and spaces.
pub fn same_name(a: &str, b: &str) -> bool {
    a.len().max(b.len()) <= LONGEST && plain(a).eq(plain(b))
}

/// No name has more bytes than this, including separators, so longer texts are not compared.
const LONGEST: usize = 256;

fn plain(name: &str) -> impl Iterator<Item = char> {
    let separator = |character: &char| !matches!(character, '_' | '-' | ' ');
    name.chars().filter(separator).map(|character| character.to_ascii_lowercase())
}

/// The error for a name that is not among the known ones; it lists the nearest.
pub fn unknown_name(kind: &'static str, name: &str, known: &[&'static str]) -> Error {
    // No known name is longer, and computing the distance takes time proportional
    // to the product of the lengths.
    let wanted: String = plain(name).take(EXCERPT).collect();
    let mut nearest: Vec<&'static str> = known.to_vec();
    let distance = |candidate: &&str| {
        strsim::damerau_levenshtein(&wanted, &plain(candidate).collect::<String>())
    };
    nearest.sort_by_cached_key(distance);
    nearest.truncate(3);
    Error::UnknownName { kind, name: excerpt(name).into_owned(), nearest }
}

/// The error for a parameter that occurs more than once in a text.
pub fn given_twice(name: &str, value: &str) -> Error {
    Error::parameter(name, value, "is given twice; give it once")
}
