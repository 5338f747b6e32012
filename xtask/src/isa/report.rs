//! The tables of instructions, for the terminal and docs/instructions.md.

use std::fmt::Write;
use std::fs;

use wgrad::KernelKind;

use super::radv::Statistics;
use super::table::{Card, Row};
use crate::command::root;

const PAGE: &str = "docs/instructions.md";

/// The number of instructions of a kernel up to which a card with 3 TB/s stays bound by its memory.
const MEMORY_BOUND: u64 = 280;

/// The least share of multiply-adds in the inner loop of a product with tiles in workgroup memory.
const MULTIPLY_ADDS: f64 = 0.5;

/// The same kernels on each card.
pub struct Report {
    cards: Vec<Card>,
}

const COLUMNS: [&str; 8] = [
    "instructions",
    "VGPRs",
    "SGPRs",
    "spills",
    "workgroup memory",
    "waves/SIMD",
    "latency",
    "inverse throughput",
];

fn cells(row: &Row) -> [u64; COLUMNS.len()] {
    let Statistics {
        instructions, vgprs, sgprs, shared, waves, latency, inverse_throughput, ..
    } = row.compiled.statistics;
    [instructions, vgprs, sgprs, row.spills(), shared, waves, latency, inverse_throughput]
}

/// "a / b / c", or only a if all are the same.
fn together(values: &[String]) -> String {
    match values {
        [first, others @ ..] if others.iter().all(|other| other == first) => first.clone(),
        values => values.join(" / "),
    }
}

impl Report {
    /// Creates a report in which the kernels of a section are next to each other.
    pub fn new(mut cards: Vec<Card>) -> Result<Self, String> {
        let names = |card: &Card| card.rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
        let same = cards.windows(2).all(|pair| names(&pair[0]) == names(&pair[1]));
        if cards.is_empty() || !same {
            return Err("the cards have not compiled the same kernels".to_owned());
        }
        for card in &mut cards {
            let mut sections: Vec<String> = vec![ALONE.to_owned()];
            for row in &card.rows {
                let (section, _) = place(&row.name);
                if !sections.iter().any(|known| known == section) {
                    sections.push(section.to_owned());
                }
            }
            card.rows.sort_by_key(|row| {
                let (section, _) = place(&row.name);
                sections.iter().position(|known| known == section)
            });
        }
        Ok(Self { cards })
    }

    /// Each kernel's place, and its row on every card.
    fn kernels(&self) -> impl Iterator<Item = Vec<&Row>> {
        let count = self.cards.first().map_or(0, |card| card.rows.len());
        (0..count).map(|place| self.cards.iter().map(|card| &card.rows[place]).collect())
    }

    fn cards_of(&self) -> String {
        let names = self.cards.iter().map(|card| format!("{} ({})", card.family, card.name));
        names.collect::<Vec<_>>().join(", ")
    }

    fn drivers(&self) -> String {
        let mut drivers: Vec<&str> = self.cards.iter().map(|card| card.driver.as_str()).collect();
        drivers.dedup();
        drivers.join(", ")
    }

    /// The kernels and cards for which the condition holds.
    fn those(&self, condition: impl Fn(&Card, &Row) -> bool) -> Vec<String> {
        let found = self.kernels().filter_map(|rows| {
            let on = self.cards.iter().zip(&rows).filter(|(card, row)| condition(card, row));
            let families: Vec<&str> = on.map(|(card, _)| card.family.as_str()).collect();
            match families.len() {
                0 => None,
                n if n == self.cards.len() => Some(rows[0].name.clone()),
                _ => Some(format!("{} ({})", rows[0].name, families.join(", "))),
            }
        });
        found.collect()
    }

    fn spilling(&self) -> Vec<String> {
        self.those(|_, row| row.spills() > 0)
    }

    /// The kernels with less than full occupancy. Products are left out: they use their registers for the tile.
    fn partial(&self) -> Vec<String> {
        self.those(|card, row| {
            row.kind != KernelKind::Product && row.compiled.statistics.waves < card.full
        })
    }

    /// The products with tiles in workgroup memory whose inner loop does too much besides multiply-adds.
    fn distracted(&self) -> Vec<String> {
        self.those(|_, row| {
            let share = row.compiled.inner_loop.map_or(0.0, |inner| inner.multiply_add_share());
            let tiled = row.kind == KernelKind::Product && row.compiled.statistics.shared > 0;
            tiled && share < MULTIPLY_ADDS
        })
    }

    fn findings(&self) -> [String; 4] {
        let list = |names: Vec<String>| match names.as_slice() {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        let full: Vec<String> = self.cards.iter().map(|card| card.full.to_string()).collect();
        let large = self.those(|_, row| {
            row.kind == KernelKind::Pointwise && row.compiled.statistics.instructions > MEMORY_BOUND
        });
        [
            format!("Spilling registers: {}.", list(self.spilling())),
            format!(
                "Below the full occupancy of {} waves, but for products: {}.",
                together(&full),
                list(self.partial())
            ),
            format!(
                "Products with tiles in workgroup memory and less than {:.0} % multiply-adds in the inner \
                 loop: {}.",
                100.0 * MULTIPLY_ADDS,
                list(self.distracted())
            ),
            format!("Pointwise, with more than {MEMORY_BOUND} instructions: {}.", list(large)),
        ]
    }

    fn row(rows: &[&Row]) -> Vec<String> {
        let columns = (0..COLUMNS.len()).map(|column| {
            let values: Vec<String> =
                rows.iter().map(|row| cells(row)[column].to_string()).collect();
            together(&values)
        });
        columns.collect()
    }

    /// The share of multiply-adds and the estimated share of the peak; `None` without such a loop.
    fn inner_loop(rows: &[&Row]) -> Option<[String; 2]> {
        let loops: Vec<_> =
            rows.iter().map(|row| row.compiled.inner_loop).collect::<Option<_>>()?;
        let of = |share: fn(&super::assembly::Loop) -> f64| {
            let shares: Vec<String> =
                loops.iter().map(|inner| format!("{:.0} %", 100.0 * share(inner))).collect();
            together(&shares)
        };
        Some([of(super::assembly::Loop::multiply_add_share), of(super::assembly::Loop::peak_share)])
    }

    pub fn text(&self) -> String {
        let mut text = format!("{}; {}\n", self.cards_of(), self.drivers());
        for rows in self.kernels() {
            let _ = write!(text, "\n{}\n ", rows[0].name);
            for (column, cell) in COLUMNS.iter().zip(Self::row(&rows)) {
                let _ = write!(text, " {column} {cell};");
            }
            text.push('\n');
            if let Some([multiply_adds, peak]) = Self::inner_loop(&rows) {
                let _ = writeln!(
                    text,
                    "  inner loop {multiply_adds} multiply-adds; {peak} of the peak"
                );
            }
        }
        text + "\n" + &self.findings().join("\n") + "\n"
    }

    pub fn write(&self) -> Result<(), String> {
        fs::write(root().join(PAGE), self.markdown())
            .map_err(|error| format!("{PAGE}: {error}"))?;
        println!("{}", self.findings().join("\n"));
        Ok(())
    }

    /// Returns an error if a kernel spills registers, or if this compiler would write another page.
    pub fn check(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        let [spilling, ..] = self.findings();
        if !self.spilling().is_empty() {
            faults.push(spilling);
        }
        let page =
            fs::read_to_string(root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
        if page.contains(&self.drivers()) {
            faults.extend(self.differences(&page));
        } else {
            println!("{PAGE} is of another compiler than {}: it is not compared.", self.drivers());
        }
        if faults.is_empty() {
            let [rows, cards] = [self.kernels().count(), self.cards.len()];
            println!("{rows} kernels on {cards} cards: no faults, and {PAGE} is up to date");
            return Ok(());
        }
        Err(faults.join("\n"))
    }

    /// The lines in which the page differs from what it should be.
    fn differences(&self, page: &str) -> Option<String> {
        let due = self.markdown();
        if due == page {
            return None;
        }
        let mut text = format!("{PAGE} differs; if it should: cargo xtask isa --write");
        let only = |these: &str, those: &str, sign: char, text: &mut String| {
            let known: std::collections::HashSet<&str> = those.lines().collect();
            for line in these.lines().filter(|line| !known.contains(line)) {
                let _ = write!(text, "\n{sign} {line}");
            }
        };
        only(page, &due, '-', &mut text);
        only(&due, page, '+', &mut text);
        Some(text)
    }

    fn markdown(&self) -> String {
        let mut page = format!(
            "\
# Instructions

What real GPUs' compilers make of the kernels. No such card is needed: Mesa's driver compiles for cards that are not
there. This page is for {}, by the compiler of {}, made by

```sh
cargo xtask isa --write
```

`cargo xtask isa --check` fails where a kernel spills registers, and shows every line in which this page is out of date.

A cell has a number for each card, in this order, or one where all are the same. An invocation of a
pointwise kernel computes four elements. VGPRs and SGPRs are registers of a lane and of a wave; waves are those that
a SIMD unit can hold at a time, fewer where a kernel takes many registers or much workgroup memory (in bytes). Latency
is of one wave alone in cycles, inverse throughput the cycles a wave where there are many; both are the
compiler's estimates. A card with 3 TB/s stays bound by its memory, whatever it computes, up to about {MEMORY_BOUND}
instructions a vec4; one with 0.5 TB/s up to about 1400 cycles. The kernels have the parameters and constants
that they have by default.

",
            self.cards_of(),
            self.drivers(),
        );
        for finding in self.findings() {
            let _ = writeln!(page, "* {finding}");
        }
        let mut section = String::new();
        for rows in self.kernels() {
            let (heading, name) = place(&rows[0].name);
            let inner = Self::inner_loop(&rows);
            if heading != section {
                let _ = write!(page, "\n## {heading}\n\n| | {} |", COLUMNS.join(" | "));
                let more = if inner.is_some() { " multiply-adds | of the peak |" } else { "" };
                let count = COLUMNS.len() + if inner.is_some() { 2 } else { 0 };
                let _ = write!(page, "{more}\n|---|{}\n", "--:|".repeat(count));
                section = heading.to_owned();
            }
            let _ = write!(page, "| {name} | {} |", Self::row(&rows).join(" | "));
            if let Some(shares) = inner {
                let _ = write!(page, " {} |", shares.join(" | "));
            }
            page.push('\n');
        }
        if self.cards.iter().flat_map(|card| &card.rows).any(|row| row.kind == KernelKind::Product)
        {
            page.push_str(
                "
Of products, multiply-adds are the share of the instructions of the inner loop that are such; the share of
the peak is an estimate: multiply-adds over what takes longest in that loop, the instructions on vectors, the
reads of workgroup memory (128 bytes a cycle and compute unit) or those of buffers (64 bytes).
",
            );
        }
        page
    }
}

/// The section of the kernels that have neither an activation nor a loss.
const ALONE: &str = "Without an activation or a loss";

/// The section of a kernel on the page, and its name there.
fn place(name: &str) -> (&str, &str) {
    match split(name) {
        (template, "") => (ALONE, template),
        (template, functions) => (template, functions),
    }
}

/// The template, then the activation and the loss. A template's own text may have spaces.
fn split(name: &str) -> (&str, &str) {
    let mut depth = 0;
    let end = name.find(|letter| {
        depth += i32::from(matches!(letter, '(' | '{')) - i32::from(matches!(letter, ')' | '}'));
        letter == ' ' && depth == 0
    });
    // "MatMul { .. }" has a space before its brace.
    match end {
        Some(end) if name[end..].starts_with(" {") => {
            let close = name.find('}').map_or(name.len(), |close| close + 1);
            (&name[..close], name[close..].trim_start())
        }
        Some(end) => (&name[..end], name[end..].trim_start()),
        None => (name, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_after_the_template() {
        assert_eq!(split("Sum"), ("Sum", ""));
        assert_eq!(split("Unary(Forward) elu"), ("Unary(Forward)", "elu"));
        assert_eq!(
            split("LossTerms(Dense, Output) tanh mse"),
            ("LossTerms(Dense, Output)", "tanh mse")
        );
        assert_eq!(split("MatMul { a: 1, b: 2 } tanh"), ("MatMul { a: 1, b: 2 }", "tanh"));
        assert_eq!(
            split("MatMul(MatMul { a: 1, b: 2 }) tanh"),
            ("MatMul(MatMul { a: 1, b: 2 })", "tanh")
        );
    }

    #[test]
    fn what_is_the_same_on_all_cards_is_said_once() {
        let texts = |numbers: &[u32]| numbers.iter().map(u32::to_string).collect::<Vec<_>>();
        assert_eq!(together(&texts(&[16, 16, 16])), "16");
        assert_eq!(together(&texts(&[16, 12, 16])), "16 / 12 / 16");
    }
}
