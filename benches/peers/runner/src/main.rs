//! Measures wgrad beside other libraries, keeps the record, and writes docs/performance.md from it.

mod machine;
mod page;
mod plan;
mod plot;
mod program;
mod record;
mod schedule;

use std::path::PathBuf;

use lexopt::prelude::*;
use record::Record;
use schedule::Schedule;

const USAGE: &str = "\
runner [options]
  --programs FOLDER  where the measured programs are
  --python FILE      a Python that has PyTorch
  --candle --burn --burn-wgpu   the other libraries to measure
  --threads N        the threads of each program: 2
  --rounds N         how often the programs take turns at a case: 7
  --seconds S        how long each turn takes: 0.2
  --case TEXT        only the cases that contain this; then nothing is kept
  --page FILE        only writes the page, from this record";

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut schedule = Schedule::default();
    let mut page = None;
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("programs") => schedule.folder = parser.value()?.into(),
            Long("python") => schedule.python = Some(parser.value()?.into()),
            Long("candle") => schedule.candle = true,
            Long("burn") => schedule.burn = true,
            Long("burn-wgpu") => schedule.burn_wgpu = true,
            Long("threads") => schedule.threads = parser.value()?.parse()?,
            Long("rounds") => schedule.rounds = parser.value()?.parse()?,
            Long("seconds") => schedule.seconds = parser.value()?.parse()?,
            Long("case") => schedule.only = Some(parser.value()?.string()?),
            Long("page") => page = Some(PathBuf::from(parser.value()?)),
            Long("help") | Short('h') => {
                println!("{USAGE}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let record = match page {
        Some(path) => Record::read(&path)?,
        None => {
            let record = schedule.run()?;
            if schedule.only.is_some() {
                return Ok(());
            }
            println!("{}", record.write()?.display());
            record
        }
    };
    for path in page::write(&record)? {
        println!("{}", path.display());
    }
    Ok(())
}
