//! The table of a device: how long each piece of work takes, and how near that is to the device's limit.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use wgrad::{Counters, Device};

use super::adapter::Adapter;
use super::machine;

/// The least that a piece of work costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least {
    /// The bytes that are read and written: each operand and each result once.
    pub bytes: f64,
    /// The operations of its matrix products.
    pub operations: f64,
    /// The bytes that are read and written outside of its matrix products.
    pub outside: f64,
}

/// The limits of a device. The rates of copies are measured when they are asked for.
pub struct Limits {
    adapter: Option<Adapter>,
    peak: f64,
    copies: RefCell<HashMap<usize, f64>>,
}

impl Limits {
    pub fn of(device: &Device) -> Self {
        let adapter = Adapter::of(device);
        let peak = match &adapter {
            // Enough workgroups to fill a large GPU; but a software adapter should not take long.
            Some(adapter) => [16, 4096]
                .into_iter()
                .take(if device.info().kind == wgrad::DeviceKind::Software { 1 } else { 2 })
                .map(|groups| adapter.multiply_adds(groups))
                .fold(0.0, f64::max),
            None => best(|| {
                let start = Instant::now();
                machine::multiply_adds(1e9) / start.elapsed().as_secs_f64()
            }),
        };
        Self { adapter, peak, copies: RefCell::default() }
    }

    /// The rate of multiply-adds in registers, in operations per second.
    pub fn peak(&self) -> f64 {
        self.peak
    }

    /// The bytes per second that a copy reads and writes if it moves `bytes` bytes in all.
    pub fn copy_rate(&self, bytes: f64) -> f64 {
        let elements = (bytes / 2.0) as usize / size_of::<f32>();
        let mut copies = self.copies.borrow_mut();
        *copies.entry(elements).or_insert_with(|| match &self.adapter {
            Some(adapter) => bytes / adapter.copy(elements),
            None => {
                let (from, mut to) = (vec![1.0; elements], vec![0.0; elements]);
                best(|| {
                    let start = Instant::now();
                    machine::copy(&from, std::hint::black_box(&mut to));
                    bytes / start.elapsed().as_secs_f64()
                })
            }
        })
    }

    /// The least seconds that a piece of work can take: those of its bytes or of its operations, whichever are more.
    fn least(&self, least: Least) -> f64 {
        (least.bytes / self.copy_rate(least.bytes)).max(least.operations / self.peak)
    }
}

/// The best of several attempts, which is the largest.
fn best(attempt: impl FnMut() -> f64) -> f64 {
    std::iter::repeat_with(attempt).take(16).fold(0.0, f64::max)
}

/// The number of samples of a piece of work that count, which are the last ones: those before warm it up.
pub const SAMPLES: usize = 10;

struct Row {
    name: String,
    least: Least,
    /// The bytes that the kernels outside of products are bound to; 0 on the CPU.
    moved: u64,
    /// The seconds of an iteration.
    samples: Vec<f64>,
}

pub struct Table {
    title: String,
    limits: Limits,
    rows: RefCell<Vec<Row>>,
}

impl Table {
    pub fn new(device: &Device) -> Self {
        let title = device.info().to_string();
        Self { title, limits: Limits::of(device), rows: RefCell::default() }
    }

    /// Adds a sample of a piece of work, which may be in the table already. `did` is what the device did for it.
    pub fn add(&self, name: &str, least: Least, iterations: u64, time: Duration, did: Counters) {
        let mut rows = self.rows.borrow_mut();
        if rows.last().is_none_or(|row| row.name != name) {
            rows.push(Row { name: name.to_owned(), least, moved: 0, samples: Vec::new() });
        }
        if let Some(row) = rows.last_mut() {
            row.samples.push(time.as_secs_f64() / iterations as f64);
            // Not from the first sample, in which an optimizer creates its state.
            row.moved = (did.bytes - did.product_bytes) / iterations;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.borrow().is_empty()
    }
}

impl Row {
    fn median(&self) -> f64 {
        let mut last = self.samples[self.samples.len().saturating_sub(SAMPLES)..].to_vec();
        last.sort_by(f64::total_cmp);
        last.get(last.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The bytes that are moved, as a multiple of the least unless that is 0.
    fn moved(&self) -> String {
        match (self.moved, self.least.outside) {
            (0, _) => String::new(),
            (moved, 0.0) => format!("{} MB", digits(moved as f64 / 1e6)),
            (moved, least) => format!("× {:.2}", moved as f64 / least),
        }
    }
}

/// Formats a number with three significant digits.
fn digits(value: f64) -> String {
    let decimals = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, limits, rows } = self;
        let peak = digits(limits.peak() / 1e9);
        writeln!(f, "\n{title}: multiply-adds in registers {peak} GFLOP/s")?;
        writeln!(
            f,
            "{:<38} {:>12} {:>9} {:>10} {:>10} {:>8} {:>12} {:>10}",
            "", "time", "GB/s", "copy GB/s", "GFLOP/s", "of limit", "least moved", "moved"
        )?;
        for row in rows.borrow().iter() {
            let (least, seconds) = (row.least, row.median());
            let rate = |amount: f64| match amount {
                0.0 => String::new(),
                amount => digits(amount / seconds / 1e9),
            };
            let copy = digits(limits.copy_rate(least.bytes) / 1e9);
            writeln!(
                f,
                "{:<38} {:>9} ms {:>9} {copy:>10} {:>10} {:>6.0} % {:>9} MB {:>10}",
                row.name,
                digits(1e3 * seconds),
                rate(least.bytes),
                rate(least.operations),
                100.0 * limits.least(least) / seconds,
                digits(least.outside / 1e6),
                row.moved(),
            )?;
        }
        Ok(())
    }
}
