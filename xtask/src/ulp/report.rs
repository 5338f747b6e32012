//! Writes docs/accuracy.txt, the lines of all runs, and docs/accuracy.md, the tables made from them.

use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;

use wgrad::Activation;

use super::record::Record;
use super::special::POINTS;
use crate::command::root;

const DATA: &str = "docs/accuracy.txt";
const PAGE: &str = "docs/accuracy.md";

const INTRODUCTION: &str = "\
# Accuracy

How far wgrad's functions are from the exact values, measured. `cargo xtask ulp --write` makes this page
from [accuracy.txt](accuracy.txt), which has a line for each function on each device; a run replaces the
lines of what it measures.

```sh
cargo xtask ulp                                       # everything, over all 2^32 floats, on all devices
cargo xtask ulp --function sigmoid --device cpu       # one function on one device
cargo xtask ulp --stride 64 --device llvmpipe --write # one of 64 neighbouring floats, kept in this page
```

*Exact* is the `f64` [reference](../formula/src/reference). The error is |result − exact| in units in the last
place (ULP): the distance of neighbouring floats in the binade of the correctly rounded result, which
itself is at most 0.5 off. *Inputs* are all floats, or one of so many neighbours at a changing place and
the ends of each binade. The maximum is over normal arguments with normal results; a result that overflows
beside the greatest float counts as 2^128. Where the argument or the exact value is subnormal or zero, a
result may be flushed to zero, and else be off by the bound or 2 units, whichever is more (*subnormal
ULP*). Sparsemax's outputs are differences of numbers near 1: their unit is 2^-24. g, g′ and g″ are a
function and its derivatives, with default parameters; the bounds are those of `Activation::ulp_bound`.
What exceeds one is **bold**. On a CPU with AVX-512 sigmoid, tanh, softplus, silu, quick_gelu, gelu, gelu_tanh
and their derivatives are polynomials, on others formulas in f32, within the same bounds.
";

/// Adds the records to the data file, where they replace older ones of the same measurements, and renders the page.
pub fn write(records: &[Record]) -> Result<(), String> {
    let data = root().join(DATA);
    let old = match fs::read_to_string(&data) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(format!("{DATA}: {error}")),
    };
    let old = old.lines().map(str::parse).collect::<Result<Vec<Record>, String>>()?;
    let all = merged(old, records);
    let lines: String = all.iter().map(|record| format!("{record}\n")).collect();
    fs::write(&data, lines).map_err(|error| format!("{DATA}: {error}"))?;
    fs::write(root().join(PAGE), render(&all)).map_err(|error| format!("{PAGE}: {error}"))
}

/// Merges records, and sorts them by device, by the order of the catalogue and by derivative.
fn merged(mut all: Vec<Record>, new: &[Record]) -> Vec<Record> {
    all.retain(|old| !new.iter().any(|new| new.replaces(old)));
    all.extend_from_slice(new);
    let names: Vec<&str> = Activation::all().map(|activation| activation.name()).collect();
    all.sort_by_cached_key(|record| {
        let function = record.get("function");
        let place = names.iter().position(|name| *name == function).unwrap_or(names.len());
        (device(record), place, function.to_owned(), record.get("order").to_owned())
    });
    all
}

/// The device of a record, and the driver with which it was measured.
fn device(record: &Record) -> (String, String) {
    (record.get("device").to_owned(), record.get("driver").to_owned())
}

fn render(records: &[Record]) -> String {
    let mut devices: Vec<_> = records.iter().map(device).collect();
    devices.dedup();
    let mut page = INTRODUCTION.to_owned();
    page.push_str(&largest_errors(records, &devices));
    page.push_str(&special_values(records));
    for device in &devices {
        page.push_str(&details(records, device));
    }
    page
}

/// g, g′ or g″.
fn symbol(record: &Record) -> &'static str {
    match record.get("order") {
        "0" => "g",
        "1" => "g′",
        _ => "g″",
    }
}

/// The functions of all records, each once, with the first record of each.
fn functions(records: &[Record]) -> Vec<&Record> {
    let mut firsts: Vec<&Record> = Vec::new();
    for record in records {
        if !firsts.iter().any(|first| same_function(first, record)) {
            firsts.push(record);
        }
    }
    firsts
}

fn same_function(a: &Record, b: &Record) -> bool {
    ["function", "order"].iter().all(|key| a.get(key) == b.get(key))
}

fn bold_where(condition: bool, text: &str) -> String {
    if condition { format!("**{text}**") } else { text.to_owned() }
}

fn max_ulp(record: &Record) -> String {
    let number = |name: &str| record.get(name).parse::<f64>().unwrap_or(f64::NAN);
    bold_where(number("max_ulp") > number("bound"), record.get("max_ulp"))
}

fn table(columns: &[&str]) -> String {
    format!("\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()))
}

fn largest_errors(records: &[Record], devices: &[(String, String)]) -> String {
    let mut columns = vec!["function", "", "bound"];
    columns.extend(devices.iter().map(|(name, _)| name.as_str()));
    let mut text = format!("\n## Largest errors in ULP\n{}", table(&columns));
    for function in functions(records) {
        let name = function.get("function");
        let _ = write!(text, "| {name} | {} | {} |", symbol(function), function.get("bound"));
        for wanted in devices {
            let mut of_device = records.iter().filter(|record| device(record) == *wanted);
            let found = of_device.find(|record| same_function(record, function));
            let _ = write!(text, " {} |", found.map(max_ulp).unwrap_or_default());
        }
        text.push('\n');
    }
    text
}

/// The special values that all devices return: `cargo xtask ulp` fails if one of them differs.
fn special_values(records: &[Record]) -> String {
    let columns = ["function", "", "−∞", "−0", "0", "∞", "NaN"];
    let mut text = format!(
        "\n## Special values\n\nThe same on every device, the sign of a zero aside.\n{}",
        table(&columns)
    );
    for function in functions(records) {
        if function.get(POINTS[0].0).is_empty() {
            continue;
        }
        let _ = write!(text, "| {} | {} |", function.get("function"), symbol(function));
        for (point, _) in POINTS {
            let value = match function.get(point) {
                "-0" => "0",
                "inf" => "∞",
                "-inf" => "−∞",
                value => value,
            };
            let _ = write!(text, " {} |", value.replace('-', "−"));
        }
        text.push('\n');
    }
    text
}

fn details(records: &[Record], wanted: &(String, String)) -> String {
    let (name, driver) = wanted;
    let columns = [
        "function",
        "",
        "inputs",
        "bound",
        "max ULP",
        "at",
        "above 1 ULP",
        "correctly rounded",
        "subnormal ULP",
        "measured",
    ];
    let mut text = format!("\n## {name}\n\nDriver: {driver}.\n{}", table(&columns));
    for record in records.iter().filter(|record| device(record) == *wanted) {
        let inputs = match (record.get("stride"), record.get("rows")) {
            ("1", _) => "all".to_owned(),
            ("", rows) => format!("{rows} rows"),
            (stride, _) => format!("1 of {stride}"),
        };
        let mut cells = vec![record.get("function"), symbol(record), &inputs, record.get("bound")];
        let max_ulp = max_ulp(record);
        cells.push(&max_ulp);
        let rest = ["at", "above_1ulp", "exact", "subnormal_ulp", "date"];
        cells.extend(rest.map(|key| record.get(key)));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    let sums = |record: &&Record| device(record) == *wanted && !record.get("sum_error").is_empty();
    for record in records.iter().filter(sums) {
        let (function, error) = (record.get("function"), record.get("sum_error"));
        let _ = write!(text, "\nThe rows of {function} add up to 1 within {error}.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lines: &[&str]) -> Vec<Record> {
        lines.iter().map(|line| line.parse().unwrap()).collect()
    }

    #[test]
    fn runs_are_merged_and_sorted_as_the_catalogue_is() {
        let old = records(&[
            "function=tanh order=0 device=\"b\" stride=16 max_ulp=1.2 bound=2",
            "function=sigmoid order=1 device=\"b\" stride=16 max_ulp=0.9 bound=1",
            "function=sigmoid order=0 device=\"b\" stride=16 max_ulp=0.8 bound=1",
        ]);
        let new = records(&[
            "function=softmax order=0 device=\"a\" rows=7 max_ulp=1.1 bound=4 sum_error=2e-7",
            "function=sigmoid order=0 device=\"b\" stride=1 max_ulp=1.5 bound=1 inf=1 minus_inf=-0",
        ]);
        let all = merged(old, &new);
        let seen: Vec<String> = all
            .iter()
            .map(|record| ["function", "order", "max_ulp"].map(|key| record.get(key)).join(" "))
            .collect();
        assert_eq!(seen, ["softmax 0 1.1", "sigmoid 0 1.5", "sigmoid 1 0.9", "tanh 0 1.2"]);

        let page = render(&all);
        for line in [
            "| sigmoid | g | 1 |  | **1.5** |",
            "| sigmoid | g′ | 1 |  | 0.9 |",
            "| softmax | g | 4 | 1.1 |  |",
            "| sigmoid | g | 0 |  |  | 1 |  |",
            "The rows of softmax add up to 1 within 2e-7.",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        assert!(
            page.contains("| softmax | g | 7 rows |") && page.contains("| tanh | g | 1 of 16 |")
        );
    }
}
