//! What the compiler of one card makes of the kernels, and how a process hands that to another.

use std::fmt::Write;

use wgrad::KernelKind;

use super::assembly::Loop;
use super::radv::{Compiled, Statistics};

/// A kernel, and what it compiles to.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: String,
    pub kind: KernelKind,
    pub compiled: Compiled,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// What Mesa calls it.
    pub family: String,
    pub name: String,
    pub driver: String,
    /// The waves of full occupancy.
    pub full: u64,
    pub rows: Vec<Row>,
}

const KINDS: [KernelKind; 3] = [KernelKind::Pointwise, KernelKind::Reduction, KernelKind::Product];

impl Row {
    pub fn spills(&self) -> u64 {
        let Statistics { spilled_vgprs, spilled_sgprs, .. } = self.compiled.statistics;
        spilled_vgprs + spilled_sgprs
    }

    fn numbers(&self) -> [u64; 15] {
        let Statistics {
            instructions,
            vgprs,
            sgprs,
            spilled_vgprs,
            spilled_sgprs,
            shared,
            waves,
            latency,
            inverse_throughput,
        } = self.compiled.statistics;
        let inner = self.compiled.inner_loop.unwrap_or_default();
        let kind = KINDS.iter().position(|kind| *kind == self.kind).unwrap_or_default();
        [
            kind as u64,
            instructions,
            vgprs,
            sgprs,
            spilled_vgprs,
            spilled_sgprs,
            shared,
            waves,
            latency,
            inverse_throughput,
            inner.instructions,
            inner.multiply_adds,
            inner.vector,
            inner.shared_bytes,
            inner.buffer_bytes,
        ]
    }

    fn from_numbers(name: &str, numbers: [u64; 15]) -> Self {
        let [
            kind,
            i,
            vgprs,
            sgprs,
            spilled_vgprs,
            spilled_sgprs,
            shared,
            waves,
            latency,
            t,
            inner @ ..,
        ] = numbers;
        let statistics = Statistics {
            instructions: i,
            vgprs,
            sgprs,
            spilled_vgprs,
            spilled_sgprs,
            shared,
            waves,
            latency,
            inverse_throughput: t,
        };
        let [instructions, multiply_adds, vector, shared_bytes, buffer_bytes] = inner;
        let inner = Loop { instructions, multiply_adds, vector, shared_bytes, buffer_bytes };
        let inner_loop = (instructions > 0).then_some(inner);
        let kind = KINDS[kind as usize % KINDS.len()];
        Self { name: name.to_owned(), kind, compiled: Compiled { statistics, inner_loop } }
    }
}

impl Card {
    /// A line for the card, then one for each kernel.
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\t{}\t{}\n", self.name, self.driver, self.full);
        for row in &self.rows {
            let numbers = row.numbers().map(|number| number.to_string());
            let _ = writeln!(text, "{}\t{}", row.name, numbers.join(" "));
        }
        text
    }

    pub fn from_text(family: &str, text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let garbled = || format!("what {family} compiles to is garbled");
        let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        let [name, driver, full] = head[..] else { return Err(garbled()) };
        let rows = lines.map(|line| {
            let (name, numbers) = line.split_once('\t')?;
            let numbers: Option<Vec<u64>> =
                numbers.split(' ').map(|number| number.parse().ok()).collect();
            Some(Row::from_numbers(name, numbers?.try_into().ok()?))
        });
        Ok(Self {
            family: family.to_owned(),
            name: name.to_owned(),
            driver: driver.to_owned(),
            full: full.parse().map_err(|_| garbled())?,
            rows: rows.collect::<Option<_>>().ok_or_else(garbled)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_survives_as_text() {
        let statistics =
            Statistics { instructions: 7, shared: 512, waves: 10, ..Default::default() };
        let inner_loop = Some(Loop { instructions: 9, multiply_adds: 5, ..Loop::default() });
        let row = |name: &str, kind, compiled| Row { name: name.to_owned(), kind, compiled };
        let card = Card {
            family: "vega10".to_owned(),
            name: "Null hardware".to_owned(),
            driver: "Mesa".to_owned(),
            full: 10,
            rows: vec![
                row("Sum", KernelKind::Reduction, Compiled { statistics, inner_loop: None }),
                row("MatMul tanh", KernelKind::Product, Compiled { statistics, inner_loop }),
            ],
        };
        assert_eq!(Card::from_text("vega10", &card.to_text()), Ok(card.clone()));
        assert!(Card::from_text("vega10", "Sum\t1 2 3").is_err());
    }
}
