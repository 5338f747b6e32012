//! The table of instructions, for the terminal and docs/instructions.md.

use std::fmt::Write;
use std::fs;

use super::Row;
use super::radv::{Compiler, Statistics};
use crate::command::root;

const PAGE: &str = "docs/instructions.md";

/// The instructions of a kernel up to which a card with 3 TB/s stays bound by its memory.
const MEMORY_BOUND: u64 = 280;

pub struct Report<'a> {
    pub compiler: &'a Compiler,
    pub family: &'a str,
    /// The waves of full occupancy.
    pub full: u64,
    pub rows: Vec<Row>,
}

const COLUMNS: [&str; 9] = [
    "function",
    "order",
    "instructions",
    "VGPRs",
    "SGPRs",
    "spills",
    "waves/SIMD",
    "latency",
    "inverse throughput",
];

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let Statistics { instructions, vgprs, sgprs, waves, latency, inverse_throughput, .. } =
        row.statistics;
    let numbers = [instructions, vgprs, sgprs, spills(row), waves, latency, inverse_throughput];
    let [instructions, vgprs, sgprs, spills, waves, latency, throughput] =
        numbers.map(|number| number.to_string());
    let (function, order) = (row.function.name(), row.function.order.to_string());
    [function, order, instructions, vgprs, sgprs, spills, waves, latency, throughput]
}

fn spills(row: &Row) -> u64 {
    row.statistics.spilled_vgprs + row.statistics.spilled_sgprs
}

impl Report<'_> {
    fn heading(&self) -> String {
        let Compiler { card, driver, .. } = self.compiler;
        format!("{card} and the compiler of {driver}")
    }

    /// The functions for which the condition holds.
    fn those(&self, condition: impl Fn(&Row) -> bool) -> String {
        let rows = self.rows.iter().filter(|row| condition(row));
        let names: Vec<String> = rows
            .map(|row| format!("{}{}", row.function.name(), ["", "′", "″"][row.function.order]))
            .collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    fn findings(&self) -> [String; 3] {
        let full = self.full;
        let spilling = self.those(|row| spills(row) > 0);
        let partial = self.those(|row| row.statistics.waves < full);
        let large = self.those(|row| row.statistics.instructions > MEMORY_BOUND);
        [
            format!("Spilling registers: {spilling}."),
            format!("Below the full occupancy of {full} waves: {partial}."),
            format!("More than {MEMORY_BOUND} instructions: {large}."),
        ]
    }

    /// Aligned columns.
    pub fn text(&self) -> String {
        let mut lines = vec![COLUMNS.map(str::to_owned)];
        lines.extend(self.rows.iter().map(cells));
        let width = |column: usize| {
            let lengths = lines.iter().map(|line| line[column].chars().count());
            lengths.max().unwrap_or(0)
        };
        let mut text = self.heading() + "\n";
        for line in &lines {
            let _ = write!(text, "{:<1$}", line[0], width(0));
            for (column, cell) in line.iter().enumerate().skip(1) {
                let _ = write!(text, "  {cell:>0$}", width(column));
            }
            text.push('\n');
        }
        text + &self.findings().join("\n") + "\n"
    }

    pub fn write(&self) -> Result<(), String> {
        fs::write(root().join(PAGE), self.markdown()).map_err(|error| format!("{PAGE}: {error}"))
    }

    fn markdown(&self) -> String {
        let mut page = format!(
            "\
# Instructions

What a real GPU's compiler makes of the kernels. No such card is needed: Mesa's driver compiles for one that
is not there. This page is for {}, made by

```sh
cargo xtask isa --family {} --write
```

An invocation computes four elements. VGPRs and SGPRs are registers of a lane and of a wave; waves a SIMD
unit can hold {} at a time, fewer where a kernel takes many registers. Latency is of one wave alone in cycles,
inverse throughput the cycles a wave where there are many; both are the compiler's estimates. A card with
3 TB/s stays bound by its memory, whatever it computes, up to about {MEMORY_BOUND} instructions; one with
0.5 TB/s up to about 1400 cycles.

",
            self.heading(),
            self.family,
            self.full,
        );
        for finding in self.findings() {
            let _ = writeln!(page, "* {finding}");
        }
        let _ = write!(page, "\n| {} |\n|---{}|\n", COLUMNS.join(" | "), "|--:".repeat(8));
        for row in &self.rows {
            let _ = writeln!(page, "| {} |", cells(row).join(" | "));
        }
        page
    }
}
