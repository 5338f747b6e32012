//! The results of a run, as they are kept in benches/records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Result, root};

#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    pub date: String,
    pub machine: Machine,
    /// The versions of the libraries, by their names.
    pub versions: BTreeMap<String, String>,
    pub threads: usize,
    pub rounds: usize,
    pub seconds: f64,
    pub measures: Vec<Measure>,
    pub first: Vec<First>,
    pub sweep: Vec<Point>,
    /// Remarks about anything odd in the run.
    pub remarks: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub system: String,
    pub gpu: String,
}

/// A program's results for a case. The times are in seconds, one for each round.
#[derive(Debug, Serialize, Deserialize)]
pub struct Measure {
    pub case: String,
    pub program: String,
    pub medians: Vec<f64>,
    pub minima: Vec<f64>,
    pub runs: usize,
    pub checksum: f64,
}

/// The times from the start of a process to its result, in seconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct First {
    pub case: String,
    pub program: String,
    pub seconds: Vec<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Point {
    pub series: String,
    pub elements: usize,
    pub median: f64,
    pub minimum: f64,
}

impl Record {
    pub fn read(path: &Path) -> Result<Self> {
        Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    pub fn write(&self) -> Result<PathBuf> {
        let folder = root().join("benches/records");
        fs::create_dir_all(&folder)?;
        let words = self.machine.processor.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<String> =
            words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
        let cores = self.machine.cores;
        let name = format!("{}-{}-{cores}.json", self.date, words.join("-"));
        let path = folder.join(name);
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path)
    }

    pub fn measure(&self, program: &str, case: &str) -> Option<&Measure> {
        self.measures.iter().find(|measure| measure.program == program && measure.case == case)
    }

    /// The ratio of the other program's time to that of wgrad: the median over the rounds.
    pub fn ratio(&self, case: &str, wgrad: &str, other: &str) -> Option<f64> {
        let (ours, theirs) = (self.measure(wgrad, case)?, self.measure(other, case)?);
        let mut ratios: Vec<f64> =
            theirs.medians.iter().zip(&ours.medians).map(|(theirs, ours)| theirs / ours).collect();
        Some(common::median(&mut ratios))
    }

    pub fn first(&self, program: &str, case: &str) -> Option<f64> {
        let first =
            self.first.iter().find(|first| first.program == program && first.case == case)?;
        Some(common::median(&mut first.seconds.clone()))
    }
}

impl Measure {
    pub fn median(&self) -> f64 {
        common::median(&mut self.medians.clone())
    }
}
