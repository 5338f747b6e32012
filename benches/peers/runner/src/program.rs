//! The measured programs, which are started once and idle until it is their turn.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;

use common::{Case, Sample};

use crate::Result;

/// How a program is started.
#[derive(Clone, Debug)]
pub struct Program {
    /// The name in the record.
    pub name: &'static str,
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
    pub threads: usize,
}

impl Program {
    /// The command that starts the program in `folder`, where drivers and compilers also look for their caches: these
    /// are empty if the folder is.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).current_dir(folder);
        command.env("XDG_CACHE_HOME", folder).env("XDG_RUNTIME_DIR", folder);
        for variable in
            ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "LP_NUM_THREADS"]
        {
            command.env(variable, self.threads.to_string());
        }
        command
    }

    /// Measures the seconds from the start of a process to its first result.
    pub fn first(&self, case: &Case) -> Result<f64> {
        let folder = tempfile::tempdir()?;
        let mut command = self.command(folder.path());
        command.arg("first").arg(case.to_string()).stdout(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        let seconds = start.elapsed().as_secs_f64();
        child.wait()?;
        match line.trim().parse::<f64>() {
            Ok(_) => Ok(seconds),
            Err(_) => Err(format!("{}: {case}: {line:?}", self.name).into()),
        }
    }
}

struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// A program that runs in the background and answers requests.
pub struct Server {
    pub program: Program,
    folder: tempfile::TempDir,
    process: Option<Process>,
    /// The cases that have ended the process.
    fatal: HashSet<String>,
}

impl Server {
    pub fn new(program: Program) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self { program, folder, process: None, fatal: HashSet::new() })
    }

    /// Returns `None` if the program does not have the case, or fails at it.
    pub fn sample(&mut self, case: &Case, seconds: f64) -> Result<Option<Sample>> {
        let name = case.to_string();
        if self.fatal.contains(&name) {
            return Ok(None);
        }
        if self.process.is_none() {
            let mut command = self.program.command(self.folder.path());
            command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn()?;
            let input = child.stdin.take().ok_or("no input")?;
            let output = BufReader::new(child.stdout.take().ok_or("no output")?);
            self.process = Some(Process { child, input, output });
        }
        let mut line = String::new();
        if let Some(Process { input, output, .. }) = &mut self.process {
            writeln!(input, "{seconds} {name}")?;
            output.read_line(&mut line)?;
        }
        if line.is_empty() {
            eprintln!("{} does not survive {name}", self.program.name);
            self.fatal.insert(name);
            self.stop();
            return Ok(None);
        }
        match line.parse::<Sample>() {
            Ok(sample) => Ok(Some(sample)),
            Err(answer) if answer == "none" => Ok(None),
            Err(answer) => Err(format!("{}: {name}: {answer:?}", self.program.name).into()),
        }
    }

    fn stop(&mut self) {
        if let Some(Process { mut child, input, output }) = self.process.take() {
            // The process exits at the end of its input.
            drop((input, output));
            let _ = child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}
