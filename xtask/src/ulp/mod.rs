//! `cargo xtask ulp`: measures how far every function is from the exact values, over every float.

mod arguments;
mod measure;
mod record;
mod report;
mod rows;
mod special;
mod sweep;
mod walk;

use indicatif::{ProgressBar, ProgressStyle};
use wgrad::{Device, DeviceInfo};

use arguments::{Arguments, USAGE};
use measure::Tally;
use record::{Record, number, percent};
use rows::RowTally;
use walk::Walk;

use crate::selection::Function;

/// The stride of a test run: 32 768 floats of every binade.
const QUICK_STRIDE: u32 = 256;

/// Runs the command with its arguments.
pub fn command(words: impl IntoIterator<Item = String>) -> Result<(), String> {
    let arguments = Arguments::parse(words)?;
    if arguments.help {
        println!("{USAGE}");
        return Ok(());
    }
    run(&arguments)
}

/// Measures all functions on all devices, at a stride that takes about a minute.
pub fn quick() -> Result<(), String> {
    run(&Arguments { stride: QUICK_STRIDE, ..Arguments::default() })
}

/// Prints a line for each function and device. Returns an error if a bound is exceeded.
fn run(arguments: &Arguments) -> Result<(), String> {
    let mut devices = Vec::new();
    for info in arguments.choose(Device::enumerate())? {
        devices.push(Device::open(&info).map_err(|error| format!("{info}: {error}"))?);
    }
    let mut session = Session {
        walk: Walk::new(arguments.stride),
        stride: arguments.stride,
        devices,
        bar: ProgressBar::no_length(),
        records: Vec::new(),
        faults: Vec::new(),
    };
    session.measure(arguments).map_err(|error| error.to_string())?;
    if arguments.write {
        report::write(&session.records)?;
    }
    if session.faults.is_empty() {
        return Ok(());
    }
    Err(session.faults.join("\n"))
}

struct Session {
    walk: Walk,
    stride: u32,
    devices: Vec<Device>,
    bar: ProgressBar,
    records: Vec<Record>,
    faults: Vec<String>,
}

impl Session {
    fn measure(&mut self, arguments: &Arguments) -> wgrad::Result<()> {
        let functions = arguments.selection.functions();
        let work = |function: &Function| match function.activation.is_rowwise() {
            true => rows::elements() * self.devices.len() as u64,
            false => self.walk.len(),
        };
        self.bar.set_length(functions.iter().map(work).sum());
        let style = ProgressStyle::with_template("{bar:40} {percent}% {eta} left, {msg}");
        self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        for function in functions {
            self.bar.set_message(format!("{}, order {}", function.activation, function.order));
            if function.activation.is_rowwise() {
                self.rowwise(function)?;
            } else {
                self.pointwise(function)?;
            }
        }
        self.bar.finish_and_clear();
        Ok(())
    }

    fn pointwise(&mut self, function: Function) -> wgrad::Result<()> {
        let tallies = sweep::sweep(function, &self.devices, self.walk, |n| self.bar.inc(n))?;
        for (device, tally) in self.devices.clone().iter().zip(tallies) {
            let (values, special_faults) = special::check(function, device)?;
            let mut record = head(function, device);
            record.push("stride", self.stride);
            body(&mut record, function, &tally);
            for ((name, _), value) in special::POINTS.iter().zip(values) {
                record.push(name, number(value));
            }
            let faults = tally.faults(bound(function)).into_iter().chain(special_faults);
            self.finish(function, device, record, faults);
        }
        Ok(())
    }

    fn rowwise(&mut self, function: Function) -> wgrad::Result<()> {
        for device in &self.devices.clone() {
            let rows = rows::sweep(&function.activation, device, |n| self.bar.inc(n))?;
            let RowTally { tally, length, sum_error, .. } = &rows;
            let mut record = head(function, device);
            record.push("rows", rows.rows);
            body(&mut record, function, tally);
            record.push("row_length", length);
            if let Some(error) = sum_error {
                record.push("sum_error", format!("{error:.1e}"));
            }
            self.finish(function, device, record, rows.faults(bound(function)));
        }
        Ok(())
    }

    /// Prints the line, and keeps it together with its faults.
    fn finish(
        &mut self,
        function: Function,
        device: &Device,
        mut record: Record,
        faults: impl IntoIterator<Item = String>,
    ) {
        record.push("driver", driver(device.info()));
        record.push("date", jiff::Timestamp::now().strftime("%Y-%m-%d"));
        self.bar.suspend(|| println!("{record}"));
        self.records.push(record);
        let Function { activation, order } = function;
        let place = format!("{activation} order {order} on {}", device.info());
        self.faults.extend(faults.into_iter().map(|fault| format!("{place}: {fault}")));
    }
}

fn bound(function: Function) -> f64 {
    function.activation.ulp_bound(function.order).map_or(0.0, f64::from)
}

fn head(function: Function, device: &Device) -> Record {
    let mut record = Record::default();
    record.push("function", function.name());
    record.push("order", function.order);
    let info = device.info();
    let device =
        if info.kind.is_gpu() { info.name.clone() } else { format!("CPU ({})", info.name) };
    record.push("device", device);
    record
}

fn body(record: &mut Record, function: Function, tally: &Tally) {
    record.push("max_ulp", format!("{:.3}", tally.worst.ulps));
    record.push("at", number(tally.worst.at));
    record.push("bound", bound(function));
    record.push("above_1ulp", percent(tally.above_one, tally.normal));
    record.push("exact", percent(tally.correct, tally.normal));
    record.push("subnormal_ulp", format!("{:.3}", tally.subnormal.ulps));
    record.push("flushed", tally.flushed);
}

fn driver(info: &DeviceInfo) -> String {
    match info.backend {
        Some(backend) => format!("{backend:?}, {}", info.driver),
        None => info.driver.clone(),
    }
}
