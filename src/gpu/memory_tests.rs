//! Tests of buffers for which there is no memory.

use std::cell::Cell;

use crate::activation::Activation;
use crate::device::Device;
use crate::error::{Error, Result};

thread_local! {
    /// The label of the buffers for which this thread gets no memory, and how often it gets none.
    static STARVED: Cell<(&'static str, usize)> = const { Cell::new(("", 0)) };
}

/// Fails if this thread is to get no memory for a buffer with this label.
pub(super) fn starve(label: &str, bytes: u64) -> Result<()> {
    let (starved, times) = STARVED.get();
    if times == 0 || label != starved {
        return Ok(());
    }
    STARVED.set((starved, times - 1));
    Err(Error::OutOfMemory { bytes })
}

fn devices() -> Vec<Device> {
    let infos = Device::enumerate().into_iter().filter(|info| info.kind.is_gpu());
    let devices: Vec<Device> = infos.map(|info| Device::open(&info).unwrap()).collect();
    assert!(!devices.is_empty(), "no adapter");
    devices
}

#[track_caller]
fn goes_on(device: &Device) {
    let z = device.tensor(&[-1.0, 2.0], [2]).unwrap();
    assert_eq!(Activation::Relu.forward(&z).unwrap().to_vec().unwrap(), [0.0, 2.0]);
}

#[test]
fn a_batch_without_memory_is_tried_again_and_else_told_of_once() {
    for device in devices() {
        let known = device.tensor(&[5.0, -5.0], [2]).unwrap();
        device.synchronize().unwrap();
        device.trim();
        // The pool tries twice, and the batch once more after all memory has come back.
        STARVED.set(("wgrad upload", 2));
        let y = Activation::Relu.forward(&known).unwrap();
        assert_eq!(y.to_vec().unwrap(), [5.0, 0.0]);
        assert_eq!(STARVED.get().1, 0);
        device.synchronize().unwrap();
        device.trim();
        STARVED.set(("wgrad upload", usize::MAX));
        let y = Activation::Tanh.forward(&known).unwrap();
        let flushed = device.flush().unwrap_err();
        assert!(matches!(flushed, Error::OutOfMemory { .. }), "{flushed}");
        STARVED.set(("", 0));
        // The batch has written nothing: its results must never be returned as if they were there.
        for _ in 0..2 {
            let read = y.to_vec().unwrap_err().to_string();
            assert!(read.contains("could not be done") && read.contains("memory"), "{read}");
            Activation::Relu.forward(&y).unwrap_err();
        }
        goes_on(&device);
        device.synchronize().unwrap();
        assert_eq!(known.to_vec().unwrap(), [5.0, -5.0]);
        Activation::Relu.forward_into(&known, &y).unwrap();
        assert_eq!(y.to_vec().unwrap(), [5.0, 0.0]);
    }
}

#[test]
fn tensors_uploads_and_reads_without_memory_are_tried_again() {
    let values: Vec<f32> = (0..300_000).map(|i| i as f32).collect();
    for device in devices() {
        for label in ["wgrad tensor", "wgrad upload", "wgrad read-back"] {
            // There is memory again soon, after the pools have been emptied, and never.
            for times in [1, 2, 4, 6, usize::MAX] {
                device.trim();
                STARVED.set((label, times));
                let read = device.tensor(&values, [values.len()]).and_then(|z| z.to_vec());
                STARVED.set(("", 0));
                match read {
                    Ok(read) => assert!(read == values, "{label}, {times}"),
                    Err(Error::OutOfMemory { .. }) => assert!(times > 2, "{label}, {times}"),
                    Err(error) => panic!("{label}, {times}: {error}"),
                }
                goes_on(&device);
                device.synchronize().unwrap();
            }
        }
    }
}
