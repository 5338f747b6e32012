//! What the compiler of one card makes of the kernels, in a form that a process can pass to another.

use serde::{Deserialize, Serialize};
use wgrad::KernelKind;

use super::radv::{Compiled, Statistics};

/// A kernel and what it compiles to.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    #[serde(with = "Kind")]
    pub kind: KernelKind,
    pub compiled: Compiled,
}

/// The form in which the library's `KernelKind` is written.
#[derive(Deserialize, Serialize)]
#[serde(remote = "KernelKind")]
enum Kind {
    Pointwise,
    Reduction,
    Product,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Card {
    /// The name that Mesa gives the card.
    pub family: String,
    pub name: String,
    pub driver: String,
    /// The number of waves at full occupancy.
    pub full: u64,
    pub rows: Vec<Row>,
}

impl Row {
    pub fn spills(&self) -> u64 {
        let Statistics { spilled_vgprs, spilled_sgprs, .. } = self.compiled.statistics;
        spilled_vgprs + spilled_sgprs
    }
}

impl Card {
    pub fn to_text(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }

    pub fn from_text(family: &str, text: &str) -> Result<Self, String> {
        serde_json::from_str(text)
            .map_err(|error| format!("what {family} compiles to is garbled: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::assembly::Loop;
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
        assert_eq!(Card::from_text("vega10", &card.to_text().unwrap()), Ok(card.clone()));
        assert!(Card::from_text("vega10", "Sum\t1 2 3").is_err());
    }
}
