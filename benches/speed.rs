//! Measures how fast every operation is on every device: `cargo bench`, or `cargo bench -- softmax` for a part.
//!
//! At the end it prints a table for each device, which tells how near each operation is to what the device
//! can do: the time of a copy of as many bytes, or of as many multiply-adds in registers, whichever is
//! longer. Both are measured in the same run. On a GPU a time includes the submission and the wait for its
//! end. "least moved" is the number of bytes that have to be read or written outside of matrix products, and
//! "moved" is the number of bytes that the GPU's kernels are bound to, as a multiple of that.

#[path = "measures/adapter.rs"]
mod adapter;
#[path = "measures/machine.rs"]
mod machine;
#[path = "measures/table.rs"]
mod table;
#[path = "measures/work.rs"]
mod work;

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use table::Table;
use wgrad::{Counters, Device, Result};

/// The bytes moved between two looks at a device's counters.
fn since(before: Counters, mut now: Counters) -> Counters {
    now.bytes -= before.bytes;
    now.product_bytes -= before.product_bytes;
    now
}

fn main() -> Result<()> {
    let criterion = Criterion::default()
        .without_plots()
        .sample_size(table::SAMPLES)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600));
    let mut criterion = criterion.configure_from_args();
    let mut tables = Vec::new();
    for info in Device::enumerate() {
        let device = Device::open(&info)?;
        let table = Table::new(&device);
        let mut group = criterion.benchmark_group(info.to_string());
        group.sampling_mode(SamplingMode::Flat);
        for work in work::all(info.kind) {
            let mut prepared = None;
            group.bench_function(work.name.as_str(), |bencher| {
                bencher.iter_custom(|iterations| {
                    let run = prepared.get_or_insert_with(|| {
                        (work.prepare)(&device).and_then(|run| device.synchronize().map(|()| run))
                    });
                    let run = run.as_mut().unwrap_or_else(|error| panic!("{error}"));
                    let (start, before) = (Instant::now(), device.counters());
                    for _ in 0..iterations {
                        let done = run().and_then(|()| device.synchronize());
                        done.unwrap_or_else(|error| panic!("{}: {error}", work.name));
                    }
                    let time = start.elapsed();
                    let did = since(before, device.counters());
                    table.add(&work.name, work.least, iterations, time, did);
                    time
                });
            });
            drop(prepared);
            device.trim();
        }
        group.finish();
        tables.push(table);
    }
    criterion.final_summary();
    for table in tables.iter().filter(|table| !table.is_empty()) {
        println!("{table}");
    }
    Ok(())
}
