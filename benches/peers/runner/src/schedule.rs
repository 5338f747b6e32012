//! The order of the measurements. For each case the programs take turns, so that a busy machine affects all
//! of them.

use std::path::PathBuf;

use common::{Case, Sample};

use crate::plan::{self, WIDTH};
use crate::program::{Program, Server};
use crate::record::{First, Measure, Point, Record};
use crate::{Result, machine, root};

/// The relative difference that the sums of the results may have.
const TOLERANCE: f64 = 1e-3;

/// A first call that takes longer than these seconds is not repeated.
const LONG: f64 = 5.0;

pub struct Schedule {
    pub folder: PathBuf,
    pub python: Option<PathBuf>,
    pub candle: bool,
    pub burn: bool,
    pub burn_wgpu: bool,
    pub threads: usize,
    pub rounds: usize,
    pub seconds: f64,
    pub only: Option<String>,
}

/// A line of the picture: its name, the program that is measured, and its case for a number of elements.
type Series = (&'static str, Program, fn(usize) -> Case);

impl Default for Schedule {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("target/release"),
            python: None,
            candle: false,
            burn: false,
            burn_wgpu: false,
            threads: 2,
            rounds: 7,
            seconds: 0.2,
            only: None,
        }
    }
}

impl Schedule {
    fn program(&self, name: &'static str, file: &str, arguments: &[&str]) -> Program {
        let path = std::path::absolute(self.folder.join(file)).unwrap_or_default();
        let arguments = arguments.iter().map(Into::into).collect();
        Program { name, path, arguments, threads: self.threads }
    }

    /// The programs on the processor, and those on the GPU adapter. wgrad is the first of each.
    fn programs(&self) -> Result<[Vec<Program>; 2]> {
        let mut cpu = vec![self.program("wgrad", "peer-wgrad", &["cpu"])];
        if let Some(python) = &self.python {
            let script = root().join("benches/peers/torch/work.py").canonicalize()?;
            let arguments = vec![script.into(), self.threads.to_string().into()];
            let path = std::path::absolute(python)?;
            cpu.push(Program { name: "torch", path, arguments, threads: self.threads });
        }
        if self.candle {
            cpu.push(self.program("candle", "peer-candle", &[]));
        }
        if self.burn {
            cpu.push(self.program("burn", "peer-burn", &[]));
        }
        cpu.push(self.program("limits", "peer-limits", &[]));
        let mut gpu = vec![self.program("wgrad gpu", "peer-wgrad", &["gpu"])];
        if self.burn_wgpu {
            gpu.push(self.program("burn-wgpu", "peer-burn-wgpu", &[]));
        }
        gpu.push(self.program("raw naive", "peer-raw-wgpu", &["naive"]));
        gpu.push(self.program("raw same", "peer-raw-wgpu", &["same"]));
        Ok([cpu, gpu])
    }

    fn wants(&self, case: &Case) -> bool {
        self.only.as_ref().is_none_or(|only| case.to_string().contains(only))
    }

    pub fn run(&self) -> Result<Record> {
        let mut record = Record {
            date: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
            machine: machine::describe(&self.folder)?,
            versions: machine::versions(self.python.as_deref())?,
            threads: self.threads,
            rounds: self.rounds,
            seconds: self.seconds,
            measures: Vec::new(),
            first: Vec::new(),
            sweep: Vec::new(),
            remarks: Vec::new(),
        };
        let mut cases: Vec<Case> = plan::rows().into_iter().map(|row| row.case).collect();
        cases.extend([Case::Copy(plan::ELEMENTS), Case::Fma, Case::Overhead]);
        cases.retain(|case| self.wants(case));
        for programs in self.programs()? {
            let mut servers =
                programs.iter().cloned().map(Server::new).collect::<Result<Vec<Server>>>()?;
            for case in &cases {
                self.take_turns(case, &mut servers, &mut record)?;
            }
            drop(servers);
            if self.only.is_some() {
                continue;
            }
            for (_, case) in plan::first() {
                self.first(&case, &programs, &mut record)?;
            }
        }
        if self.only.is_none() {
            self.sweep(&mut record)?;
        }
        Ok(record)
    }

    fn take_turns(&self, case: &Case, servers: &mut [Server], record: &mut Record) -> Result<()> {
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); servers.len()];
        for round in 0..self.rounds {
            for turn in 0..servers.len() {
                // Rotated, so that no program always runs right after the same other one.
                let place = (turn + round) % servers.len();
                samples[place].extend(servers[place].sample(case, self.seconds)?);
            }
        }
        let expected = samples[0].first().map(|sample| sample.checksum);
        for (server, samples) in servers.iter().zip(samples) {
            let Some(&Sample { checksum, .. }) = samples.first() else { continue };
            let name = server.program.name;
            if let Some(expected) = expected
                && (checksum - expected).abs() > TOLERANCE * expected.abs()
            {
                let remark =
                    format!("{name} has another result at {case}: {checksum}, not {expected}");
                eprintln!("{remark}");
                record.remarks.push(remark);
            }
            let measure = Measure {
                case: case.to_string(),
                program: name.to_owned(),
                medians: samples.iter().map(|sample| sample.median).collect(),
                minima: samples.iter().map(|sample| sample.minimum).collect(),
                runs: samples.iter().map(|sample| sample.runs).sum(),
                checksum,
            };
            println!("{case}  {name}  {:.4} ms", 1e3 * measure.median());
            record.measures.push(measure);
        }
        Ok(())
    }

    fn first(&self, case: &Case, programs: &[Program], record: &mut Record) -> Result<()> {
        let measured =
            |program: &&Program| program.name != "limits" && !program.name.starts_with("raw");
        for program in programs.iter().filter(measured) {
            let mut seconds = Vec::new();
            while seconds.len() < 5 && seconds.last().is_none_or(|&last| last < LONG) {
                seconds.push(program.first(case)?);
            }
            println!(
                "first {case}  {}  {:.2} ms",
                program.name,
                1e3 * common::median(&mut seconds.clone())
            );
            let (case, program) = (case.to_string(), program.name.to_owned());
            record.first.push(First { case, program, seconds });
        }
        Ok(())
    }

    /// Measures the cost over the size, one series after the other.
    fn sweep(&self, record: &mut Record) -> Result<()> {
        let sigmoid = |n| Case::Forward("sigmoid".into(), n);
        let softmax = |n: usize| Case::Softmax(n.div_ceil(WIDTH), WIDTH);
        let wgrad = |device| self.program("wgrad", "peer-wgrad", &[device]);
        let limits = self.program("limits", "peer-limits", &[]);
        let series: [Series; 5] = [
            ("copy, processor", limits, Case::Copy),
            ("sigmoid, processor", wgrad("cpu"), sigmoid),
            ("softmax, processor", wgrad("cpu"), softmax),
            ("sigmoid, GPU adapter", wgrad("gpu"), sigmoid),
            ("softmax, GPU adapter", wgrad("gpu"), softmax),
        ];
        for (name, program, case) in series {
            let mut server = Server::new(program)?;
            for elements in plan::sizes() {
                let Some(sample) = server.sample(&case(elements), self.seconds)? else { break };
                println!("{name}  {elements}  {:.4} ms", 1e3 * sample.median);
                let Sample { median, minimum, .. } = sample;
                record.sweep.push(Point { series: name.to_owned(), elements, median, minimum });
            }
        }
        Ok(())
    }
}
