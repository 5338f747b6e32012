//! Writes docs/performance.md from a record.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use common::{Case, FMA_OPERATIONS};

use crate::plan::{self, Least};
use crate::record::Record;
use crate::{Result, plot, root};

const PAGE: &str = "docs/performance.md";
const PICTURE: &str = "docs/figures/performance.svg";

/// A library that is compared: its name in the record, and its name on the page.
type Column = (&'static str, &'static str);

const ON_CPU: [Column; 3] = [("torch", "PyTorch"), ("candle", "candle"), ("burn", "burn (flex)")];
const ON_GPU: [Column; 3] = [
    ("burn-wgpu", "burn-wgpu"),
    ("raw naive", "raw wgpu, plain kernel"),
    ("raw same", "raw wgpu, wgrad's kernel"),
];

/// Formats a number with three significant digits.
fn digits(value: f64) -> String {
    let decimals = (2 - value.abs().max(1e-9).log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

fn milliseconds(seconds: f64) -> String {
    format!("{} ms", digits(1e3 * seconds))
}

/// One table of the page.
struct Table<'a> {
    record: &'a Record,
    wgrad: &'static str,
    columns: Vec<Column>,
    /// The bytes per second that a copy reads and writes.
    copy: Option<f64>,
    /// The rate of multiply-adds in registers, in operations per second.
    peak: Option<f64>,
}

impl<'a> Table<'a> {
    fn new(record: &'a Record, wgrad: &'static str, columns: &[Column], copier: &str) -> Self {
        let has = |column: &&Column| record.measures.iter().any(|m| m.program == column.0);
        let bytes = (2 * plan::ELEMENTS * size_of::<f32>()) as f64;
        let copy = record.measure(copier, &Case::Copy(plan::ELEMENTS).to_string());
        let peak = record.measure(copier, &Case::Fma.to_string());
        Self {
            record,
            wgrad,
            columns: columns.iter().filter(has).copied().collect(),
            copy: copy.map(|copy| bytes / copy.median()),
            peak: peak.map(|peak| FMA_OPERATIONS / peak.median()),
        }
    }

    /// A time as a rate in GB/s or GFLOP/s, and as a share of what the machine can do.
    fn rate(&self, least: Least, seconds: f64) -> String {
        let share = |rate: f64, limit: Option<f64>| {
            limit.map(|limit| format!(", {:.0} %", 100.0 * rate / limit)).unwrap_or_default()
        };
        match least {
            Least::Bytes(bytes) => {
                let rate = bytes / seconds;
                format!("{} GB/s{}", digits(rate / 1e9), share(rate, self.copy))
            }
            Least::Operations(operations) => {
                let rate = operations / seconds;
                format!("{} GFLOP/s{}", digits(rate / 1e9), share(rate, self.peak))
            }
            Least::Unknown => String::new(),
        }
    }

    fn cell(&self, case: &str, program: &str) -> String {
        let Some(measure) = self.record.measure(program, case) else { return "–".to_owned() };
        let ratio = self.record.ratio(case, self.wgrad, program);
        let ratio = ratio.map(|ratio| format!(" (×{})", digits(ratio))).unwrap_or_default();
        milliseconds(measure.median()) + &ratio
    }

    fn text(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|column| column.1).collect();
        let mut text = format!(
            "| work | wgrad | rate, share of the limit | {} |\n|---|--:|--:|{}\n",
            names.join(" | "),
            "--:|".repeat(names.len())
        );
        for row in plan::rows() {
            let case = row.case.to_string();
            let Some(ours) = self.record.measure(self.wgrad, &case) else { continue };
            let seconds = ours.median();
            let cells: Vec<String> =
                self.columns.iter().map(|column| self.cell(&case, column.0)).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                row.title,
                milliseconds(seconds),
                self.rate(row.least, seconds),
                cells.join(" | ")
            );
        }
        text
    }

    /// The comparisons in which another library is faster.
    fn behind(&self, library: impl Fn(&Column) -> bool) -> String {
        let mut all = 0;
        let mut behind = Vec::new();
        for row in plan::rows() {
            let case = row.case.to_string();
            for column in self.columns.iter().filter(|column| library(column)) {
                let Some(ratio) = self.record.ratio(&case, self.wgrad, column.0) else { continue };
                all += 1;
                if ratio < 1.0 {
                    behind.push(format!("{} ({}: ×{})", row.title, column.1, digits(ratio)));
                }
            }
        }
        if all == 0 {
            return String::new();
        }
        let ahead = all - behind.len();
        let mut text = format!("wgrad is ahead in {ahead} of these {all} comparisons");
        if !behind.is_empty() {
            let _ = write!(text, "; behind in {}", behind.join(", "));
        }
        text + ".\n"
    }
}

fn first(record: &Record, columns: &[Column], wgrad: &str) -> String {
    let mut text = String::new();
    for (title, case) in plan::first() {
        let case = case.to_string();
        let Some(ours) = record.first(wgrad, &case) else { continue };
        let others: Vec<String> = columns
            .iter()
            .filter_map(|column| {
                let seconds = record.first(column.0, &case)?;
                Some(format!(
                    "{} {} (×{})",
                    column.1,
                    milliseconds(seconds),
                    digits(seconds / ours)
                ))
            })
            .collect();
        let place = if wgrad == "wgrad" { "the processor" } else { "the GPU adapter" };
        let _ =
            writeln!(text, "| {title}, {place} | {} | {} |", milliseconds(ours), others.join(", "));
    }
    text
}

fn sweep(record: &Record) -> String {
    let mut names: Vec<&str> = Vec::new();
    for point in &record.sweep {
        if !names.contains(&point.series.as_str()) {
            names.push(&point.series);
        }
    }
    let mut text =
        format!("| elements | {} |\n|--:|{}\n", names.join(" | "), "--:|".repeat(names.len()));
    for elements in plan::sizes() {
        let cells: Vec<String> = names
            .iter()
            .map(|name| {
                let of = |p: &&crate::record::Point| p.series == *name && p.elements == elements;
                let point = record.sweep.iter().find(of);
                point.map_or_else(|| "–".to_owned(), |point| digits(1e3 * point.median))
            })
            .collect();
        let _ = writeln!(text, "| 2^{} | {} |", elements.ilog2(), cells.join(" | "));
    }
    text
}

fn overhead(record: &Record) -> String {
    let case = Case::Overhead.to_string();
    let of = |program| record.measure(program, &case).map(|measure| 1e6 * measure.median());
    let cpu = of("wgrad").map(|time| format!("{} µs on the processor", digits(time)));
    let gpu = of("wgrad gpu").zip(of("raw same")).map(|(ours, raw)| {
        format!(
            "{} µs to record it for the GPU adapter, of which {} µs are wgpu's own (the same dispatch \
             with a bind group of its own, without wgrad)",
            digits(ours),
            digits(raw)
        )
    });
    let parts: Vec<String> = cpu.into_iter().chain(gpu).collect();
    format!("A sigmoid of 1024 elements takes the calling thread {}.\n", parts.join(", and "))
}

pub fn write(record: &Record) -> Result<[PathBuf; 2]> {
    let cpu = Table::new(record, "wgrad", &ON_CPU, "limits");
    let gpu = Table::new(record, "wgrad gpu", &ON_GPU, "raw naive");
    let version = |name: &str| record.versions.get(name).map_or("?", String::as_str);
    let machine = &record.machine;
    let libraries: Vec<String> =
        [("torch", "PyTorch"), ("candle", "candle-core"), ("burn", "burn")]
            .into_iter()
            .filter(|(program, _)| {
                record.measures.iter().any(|measure| measure.program == *program)
            })
            .map(|(program, name)| {
                let package = if program == "candle" { "candle-core" } else { program };
                format!("{name} {}", version(package))
            })
            .collect();
    let limit = |table: &Table<'_>| {
        let copy =
            table.copy.map(|rate| format!("a copy {} GB/s (read and written)", digits(rate / 1e9)));
        let peak = table
            .peak
            .map(|rate| format!("multiply-adds in registers {} GFLOP/s", digits(rate / 1e9)));
        copy.into_iter().chain(peak).collect::<Vec<_>>().join(", ")
    };
    let product = plan::rows()
        .into_iter()
        .filter_map(|row| {
            let Case::Product(n) = row.case else { return None };
            let case = row.case.to_string();
            let alone = record.measure("limits", &case)?.median();
            let ratio = record.ratio(&case, "wgrad", "limits")?;
            Some(format!("{} at {n}³ (×{})", milliseconds(alone), digits(ratio)))
        })
        .collect::<Vec<_>>()
        .join(", ");
    let mut remarks = String::new();
    for remark in &record.remarks {
        let _ = writeln!(remarks, "* {remark}");
    }
    let text = format!(
        "\
# Speed

wgrad beside other libraries. This page is made by

```sh
benches/peers/run --torch --candle --burn --burn-wgpu
```

(burn-wgpu takes half an hour to build), which keeps what it measures in [benches/records](../benches/records).

* {date}, {processor}, {cores} cores, {system}; every program has {threads} threads.
* wgrad {wgrad}; {libraries}; wgpu {wgpu}, gemm {gemm}; {rustc}.
* Every library has the same numbers and lays out its results as it does by itself. The programs take turns, {rounds} times at each
  row, {seconds} s each. A time is the median of the medians of the turns; (×2) after it means that it is twice
  wgrad's, by the median of the ratios of the turns. The sums of all results have to agree.
* Pointwise work is on 2^22 elements of f32; backward starts from dE/dy = 1. The output layer is softmax with
  the mean cross-entropy for labels on x·w + b: the loss, dw, db and dx.
* The rate counts what has to be read and written at least, or the operations of the matrix products.

## On the processor

{cpu_table}
The limits, in the same run: {cpu_limit}. The matrix product of the crate gemm alone: {product}.

{cpu_behind}
## On a GPU adapter: {gpu_name}

A time includes the submission and the wait for its end.

{gpu_table}
The limit, in the same run: {gpu_limit}.

{gpu_behind}
{overhead}
## The first call

From the start of a process to the result, with empty caches.

| work | wgrad | others |
|---|--:|---|
{first_cpu}{first_gpu}
## Cost over size

![milliseconds over elements](figures/performance.svg)

Milliseconds; the rows of softmax have {width} elements.

{sweep}
{remarks}",
        date = record.date,
        processor = machine.processor,
        cores = machine.cores,
        system = machine.system,
        threads = record.threads,
        rounds = record.rounds,
        seconds = record.seconds,
        wgrad = version("wgrad"),
        wgpu = version("wgpu"),
        gemm = version("gemm"),
        rustc = version("rustc"),
        libraries = libraries.join(", "),
        cpu_table = cpu.text(),
        cpu_limit = limit(&cpu),
        cpu_behind = cpu.behind(|_| true),
        gpu_name = machine.gpu,
        gpu_table = gpu.text(),
        gpu_limit = limit(&gpu),
        gpu_behind = gpu.behind(|column| column.0 == "burn-wgpu"),
        overhead = overhead(record),
        first_cpu = first(record, &ON_CPU, "wgrad"),
        first_gpu = first(record, &ON_GPU, "wgrad gpu"),
        width = plan::WIDTH,
        sweep = sweep(record),
    );
    let text = text.trim_end().to_owned() + "\n";
    let (page, picture) = (root().join(PAGE), root().join(PICTURE));
    fs::write(&page, text)?;
    plot::draw(record, &picture)?;
    Ok([page, picture])
}
