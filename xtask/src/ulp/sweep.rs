//! Measures one function over many floats, on several devices at once.

use std::ops::Range;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use rayon::prelude::*;
use wgrad::{Device, Result};

use super::measure::Tally;
use super::walk::Walk;
use crate::selection::Function;

/// The number of arguments that a device is given at a time, and that a thread compares at a time.
const CHUNK: usize = 1 << 21;
const PIECE: usize = 1 << 13;

/// Measures a pointwise function on all devices, and returns a tally for each, in their order.
///
/// Each device has its own thread, and works one chunk ahead while the exact values of the chunk before are
/// computed, once for all devices, and compared. `progress` is called with the number of arguments done.
pub fn sweep(
    function: Function,
    devices: &[Device],
    walk: Walk,
    progress: impl Fn(u64),
) -> Result<Vec<Tally>> {
    thread::scope(|scope| {
        let results: Vec<_> = devices
            .iter()
            .map(|device| {
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move || produce(function, device, walk, &sender));
                receiver
            })
            .collect();
        let mut tallies = vec![Tally::default(); devices.len()];
        for start in (0..walk.len()).step_by(CHUNK) {
            let values = walk.values(start, CHUNK);
            // If a device is gone, it has sent its error before.
            let found = results.iter().map(|result| result.recv().unwrap_or(Ok(Vec::new())));
            let found = found.collect::<Result<Vec<Vec<f32>>>>()?;
            let of_chunk = compare(function, &values, &found);
            tallies = merge(tallies, of_chunk);
            progress(values.len() as u64);
        }
        Ok(tallies)
    })
}

/// Computes every chunk. Ends early if that fails or the receiver is gone.
fn produce(function: Function, device: &Device, walk: Walk, sender: &SyncSender<Result<Vec<f32>>>) {
    for start in (0..walk.len()).step_by(CHUNK) {
        let result = function.on_device(device, &walk.values(start, CHUNK));
        let failed = result.is_err();
        if sender.send(result).is_err() || failed {
            return;
        }
    }
}

/// Compares the results of each device with the exact values, on all cores. Returns a tally for each device.
fn compare(function: Function, values: &[f32], found: &[Vec<f32>]) -> Vec<Tally> {
    let pieces: Vec<Range<usize>> = (0..values.len())
        .step_by(PIECE)
        .map(|start| start..(start + PIECE).min(values.len()))
        .collect();
    let tally = |range: Range<usize>| {
        let values = &values[range.clone()];
        let wide: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        let exact = function.exactly(&wide);
        let tally = |found: &Vec<f32>| tally_of(values, &found[range.clone()], &exact, None);
        found.iter().map(tally).collect()
    };
    let none = || vec![Tally::default(); found.len()];
    pieces.into_par_iter().map(tally).reduce(none, merge)
}

pub fn tally_of(values: &[f32], found: &[f32], exact: &[f64], least_unit: Option<f64>) -> Tally {
    let mut tally = Tally { least_unit, ..Tally::default() };
    for ((&x, &found), &exact) in values.iter().zip(found).zip(exact) {
        tally.add(x, found, exact);
    }
    tally
}

fn merge(some: Vec<Tally>, others: Vec<Tally>) -> Vec<Tally> {
    some.into_iter().zip(others).map(|(some, other)| some.merge(other)).collect()
}
