//! What all measured programs share: the work, its input, and the way it is timed.
//!
//! A program is started once and then idles, so that the runner can let the programs take turns: it writes
//! the line `SECONDS CASE` to one of them, and reads back a line with a [`Sample`].

use std::fmt;
use std::io::{BufRead, Write};
use std::str::FromStr;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Case {
    /// An activation of this number of elements.
    Forward(String, usize),
    /// The activation, and the product of its derivative with dE/dy = 1.
    Both(String, usize),
    /// Softmax along rows.
    Softmax(usize, usize),
    SoftmaxBoth(usize, usize),
    /// The product of two square matrices.
    Product(usize),
    /// Softmax with the mean cross-entropy for labels on x·w + b: the loss, dw, db and dx. The numbers are the batch,
    /// the inputs and the outputs.
    OutputLayer(usize, usize, usize),
    /// Reading this number of elements, and writing them elsewhere.
    Copy(usize),
    /// Multiply-adds in registers. A run has [`FMA_OPERATIONS`] operations.
    Fma,
    /// The processor time that the calling thread takes for one operation on a few elements, out of many that are
    /// handed over together.
    Overhead,
}

pub const FMA_OPERATIONS: f64 = 2e9;

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(name, n) => write!(f, "forward {name} {n}"),
            Self::Both(name, n) => write!(f, "both {name} {n}"),
            Self::Softmax(rows, width) => write!(f, "softmax {rows} {width}"),
            Self::SoftmaxBoth(rows, width) => write!(f, "softmax_both {rows} {width}"),
            Self::Product(n) => write!(f, "product {n}"),
            Self::OutputLayer(b, m, k) => write!(f, "output_layer {b} {m} {k}"),
            Self::Copy(n) => write!(f, "copy {n}"),
            Self::Fma => write!(f, "fma"),
            Self::Overhead => write!(f, "overhead"),
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("there is no case {text:?}");
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |at: usize| {
            words.get(at).and_then(|word| word.parse::<usize>().ok()).ok_or_else(unknown)
        };
        let name = || words.get(1).map(|&word| word.to_owned()).ok_or_else(unknown);
        Ok(match words.first().copied() {
            Some("forward") => Self::Forward(name()?, number(2)?),
            Some("both") => Self::Both(name()?, number(2)?),
            Some("softmax") => Self::Softmax(number(1)?, number(2)?),
            Some("softmax_both") => Self::SoftmaxBoth(number(1)?, number(2)?),
            Some("product") => Self::Product(number(1)?),
            Some("output_layer") => Self::OutputLayer(number(1)?, number(2)?, number(3)?),
            Some("copy") => Self::Copy(number(1)?),
            Some("fma") => Self::Fma,
            Some("overhead") => Self::Overhead,
            _ => return Err(unknown()),
        })
    }
}

/// Returns `count` numbers between ±scale/2, the same in every program.
pub fn numbers(seed: u64, count: usize, scale: f64) -> Vec<f32> {
    let number = |index: u64| {
        let hash = (index + seed * 1_000_003).wrapping_mul(2_654_435_761) & 0xffff_ffff;
        ((hash as f64 / 4_294_967_296.0 - 0.5) * scale) as f32
    };
    (0..count as u64).map(number).collect()
}

/// The range of the arguments of activations.
pub const ARGUMENTS: f64 = 8.0;

/// The operands of a layer.
pub struct Layer {
    pub x: Vec<f32>,
    pub w: Vec<f32>,
    pub b: Vec<f32>,
    pub labels: Vec<i32>,
}

impl Layer {
    pub fn new(batch: usize, inputs: usize, outputs: usize) -> Self {
        let label = |row: usize| ((row * 7919 + 13) % outputs) as i32;
        Self {
            x: numbers(1, batch * inputs, 1.0),
            w: numbers(2, inputs * outputs, 0.1),
            b: numbers(3, outputs, 1.0),
            labels: (0..batch).map(label).collect(),
        }
    }
}

/// The sum of the magnitudes of all results, about which the programs have to agree.
#[derive(Debug, Default)]
pub struct Checksum(f64);

impl Checksum {
    pub fn add(&mut self, values: &[f32]) {
        self.0 += values.iter().map(|value| f64::from(value.abs())).sum::<f64>();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Clock {
    #[default]
    Wall,
    /// The time that the thread itself has been working.
    Thread,
}

pub type Run = Box<dyn FnMut(Option<&mut Checksum>)>;

/// A case that is ready to run.
pub struct Work {
    pub clock: Clock,
    /// The number of operations that a run counts as.
    pub operations: f64,
    /// Runs the case until its results are there, and sums them up if asked to.
    pub run: Run,
}

impl Work {
    pub fn new(run: impl FnMut(Option<&mut Checksum>) + 'static) -> Self {
        Self { clock: Clock::Wall, operations: 1.0, run: Box::new(run) }
    }

    fn once(&mut self) -> Duration {
        match self.clock {
            Clock::Wall => {
                let start = Instant::now();
                (self.run)(None);
                start.elapsed()
            }
            Clock::Thread => {
                let start = ThreadTime::now();
                (self.run)(None);
                start.elapsed()
            }
        }
    }
}

/// A program's answer for a case, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub median: f64,
    pub minimum: f64,
    pub runs: usize,
    pub checksum: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { median, minimum, runs, checksum } = self;
        write!(f, "{median:e} {minimum:e} {runs} {checksum:e}")
    }
}

impl FromStr for Sample {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let numbers: Vec<f64> =
            line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        match numbers[..] {
            [median, minimum, runs, checksum] => {
                Ok(Self { median, minimum, runs: runs as usize, checksum })
            }
            _ => Err(line.trim().to_owned()),
        }
    }
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values {
        [] => f64::NAN,
        _ if values.len() % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Runs the work for some time, but at least twice, as the first run warms up.
fn measure(work: &mut Work, seconds: f64, checksum: f64) -> Sample {
    let start = Instant::now();
    let elapsed = || start.elapsed().as_secs_f64();
    while {
        work.once();
        elapsed() < seconds / 4.0
    } {}
    let mut times = Vec::new();
    while times.is_empty() || (elapsed() < seconds && times.len() < 1_000_000) {
        times.push(work.once().as_secs_f64() / work.operations);
    }
    let minimum = times.iter().copied().fold(f64::INFINITY, f64::min);
    Sample { median: median(&mut times), minimum, runs: times.len(), checksum }
}

/// Answers the runner until it hangs up. `prepare` returns `None` for a case that the program does not have.
pub fn serve(mut prepare: impl FnMut(&Case) -> Option<Work>) {
    let mut current: Option<(Case, Option<Work>, f64)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("the runner writes text");
        let (seconds, case) = line.split_once(' ').expect("SECONDS CASE");
        let seconds: f64 = seconds.parse().expect("a number of seconds");
        let case: Case = case.parse().unwrap_or_else(|error| panic!("{error}"));
        if current.as_ref().is_none_or(|(known, ..)| *known != case) {
            // Frees the memory of the case before, so that the next one can take its own.
            drop(current.take());
            let mut work = prepare(&case);
            let mut checksum = Checksum::default();
            if let Some(work) = &mut work {
                (work.run)(Some(&mut checksum));
            }
            current = Some((case, work, checksum.0));
        }
        match &mut current {
            Some((_, Some(work), checksum)) => println!("{}", measure(work, seconds, *checksum)),
            _ => println!("none"),
        }
        std::io::stdout().flush().expect("the runner listens");
    }
}

/// Runs a case once in a fresh process. The runner measures the time until the line arrives.
pub fn first(case: &str, mut prepare: impl FnMut(&Case) -> Option<Work>) {
    let case: Case = case.parse().unwrap_or_else(|error| panic!("{error}"));
    match prepare(&case) {
        Some(mut work) => {
            let mut checksum = Checksum::default();
            (work.run)(Some(&mut checksum));
            println!("{:e}", checksum.0);
        }
        None => println!("none"),
    }
}

/// Handles the program's command line: `serve` or `first "CASE"`, after the program's own arguments.
pub fn main(arguments: &[String], prepare: impl FnMut(&Case) -> Option<Work>) {
    match arguments {
        [command] if command == "serve" => serve(prepare),
        [command, case] if command == "first" => first(case, prepare),
        _ => panic!("serve, or first \"CASE\""),
    }
}
