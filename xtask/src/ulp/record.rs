//! A line of results: `function=sigmoid order=0 device="..." stride=1 max_ulp=0.990 ...`.

use std::fmt;
use std::str::FromStr;

/// The names and values, in the order of the line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(Vec<(String, String)>);

impl Record {
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        // A value must not contain anything that would end it early.
        let value = value.to_string().replace(['"', '\n'], "'");
        self.0.push((name.to_owned(), value));
    }

    /// The value of a name; empty if the line does not have it.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Whether both records measure the same thing, so that the later one counts.
    pub fn replaces(&self, other: &Self) -> bool {
        ["function", "order", "device", "driver"].iter().all(|key| self.get(key) == other.get(key))
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.0.iter().enumerate() {
            let quote = if name == "device" || value.contains(' ') { "\"" } else { "" };
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{name}={quote}{value}{quote}")?;
        }
        Ok(())
    }
}

impl FromStr for Record {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let malformed = || format!("not a line of name=value pairs: {line}");
        let mut record = Self::default();
        let mut rest = line.trim();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or_else(malformed)?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or_else(malformed)?,
                None => after.split_at(after.find(' ').unwrap_or(after.len())),
            };
            record.push(name, value);
            rest = after.trim_start();
        }
        Ok(record)
    }
}

/// Formats a number with all its digits, but without a row of zeros.
pub fn number(value: f32) -> String {
    let magnitude = value.abs();
    let plain = magnitude == 0.0 || !value.is_finite() || (1e-4..1e7).contains(&magnitude);
    if plain { value.to_string() } else { format!("{value:e}") }
}

/// Formats a share in percent, with enough digits even if it is tiny; a dash for a share of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let share = 100.0 * part as f64 / whole as f64;
    if part == 0 || share >= 0.001 { format!("{share:.3}%") } else { format!("{share:.1e}%") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let mut record = Record::default();
        record.push("function", "hard_tanh(min=-3,max=1)");
        record.push("device", "llvmpipe (LLVM 15.0.6, 256 bits)");
        record.push("max_ulp", format!("{:.3}", 0.99));
        record.push("driver", "one \"two\"");
        let line = record.to_string();
        assert_eq!(
            line,
            "function=hard_tanh(min=-3,max=1) device=\"llvmpipe (LLVM 15.0.6, 256 bits)\" \
             max_ulp=0.990 driver=\"one 'two'\""
        );
        assert_eq!(line.parse::<Record>().unwrap(), record);
        assert_eq!((record.get("max_ulp"), record.get("at")), ("0.990", ""));
        assert!("function sigmoid".parse::<Record>().is_err());
        assert!("device=\"open".parse::<Record>().is_err());
    }

    #[test]
    fn a_record_replaces_the_one_of_the_same_function_on_the_same_device() {
        let read = |line: &str| line.parse::<Record>().unwrap();
        let old = read("function=tanh order=1 device=\"cpu\" stride=16 max_ulp=0.9");
        assert!(read("function=tanh order=1 device=\"cpu\" stride=1 max_ulp=1").replaces(&old));
        assert!(!read("function=tanh order=2 device=\"cpu\" stride=1 max_ulp=1").replaces(&old));
    }

    #[test]
    fn numbers_are_short_and_read_back() {
        let numbers = [0.0, -0.0, -16.98, 1e-45, f32::MAX, f32::NEG_INFINITY];
        assert_eq!(numbers.map(number), ["0", "-0", "-16.98", "1e-45", "3.4028235e38", "-inf"]);
        assert_eq!(number(f32::NAN), "NaN");
    }

    #[test]
    fn shares_keep_their_digits() {
        assert_eq!(percent(0, 10), "0.000%");
        assert_eq!(percent(1, 8), "12.500%");
        assert_eq!(percent(1, 1 << 32), "2.3e-8%");
        assert_eq!(percent(0, 0), "-");
    }
}
