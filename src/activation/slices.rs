//! Activations of host slices of any length, in chunks that go through the device.

use super::Activation;
use crate::backend::Reading;
use crate::device::Device;
use crate::device::tensor::Tensor;
use crate::error::{Error, Result};
use crate::shape::Shape;

/// The number of elements of a chunk on a GPU, and the number of chunks on the way at a time: while one is computed, the
/// next is uploaded, and the one before is read. Measured on llvmpipe with these numbers: sigmoid of 3 · 2^28 elements at
/// 89 million a second, through tensors and `to_vec` at 51. Not measured: other numbers.
const CHUNK: usize = 1 << 22;
const CHUNKS: usize = 2;

/// The number of elements of a chunk on the CPU, which a second-level cache holds. Not measured: other numbers.
const CPU_CHUNK: usize = 1 << 16;

/// The tensors of a chunk.
struct Slot {
    inputs: Vec<Tensor>,
    output: Tensor,
    pending: Option<Pending>,
}

/// Values that are on their way to a part of the output.
struct Pending {
    start: usize,
    length: usize,
    reading: Reading,
}

impl Slot {
    /// Waits for the values that are on their way, and returns their number.
    fn finish(&mut self, output: &mut [f32]) -> Result<usize> {
        let Some(Pending { start, length, reading }) = self.pending.take() else { return Ok(0) };
        reading.wait_into(&mut output[start..start + length])?;
        Ok(length)
    }
}

impl Activation {
    /// `g(z)` of a host slice, which may be larger than the device: it goes through the device in chunks of 16 MiB, two
    /// at a time, so that uploads, work and reads overlap. At most 96 MiB of tensors are in use.
    ///
    /// ```
    /// use wgrad::{Activation, Device};
    ///
    /// let (input, mut output) = (vec![0.5; 100_000], vec![0.0; 100_000]);
    /// Activation::Relu.forward_slice(&Device::cpu(), &input, &mut output)?;
    /// assert_eq!(output, input);
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] if the lengths differ; [`Error::Unsupported`] for row-wise activations, in the work of a
    /// plan and in a browser; what the device reports. What has been written by then stays.
    pub fn forward_slice(&self, device: &Device, input: &[f32], output: &mut [f32]) -> Result<()> {
        self.forward_slice_with(device, input, output, |_| ())
    }

    /// [`forward_slice`](Self::forward_slice) that calls `progress` with the number of elements that are done, after
    /// each chunk.
    ///
    /// # Errors
    /// As [`forward_slice`](Self::forward_slice).
    pub fn forward_slice_with(
        &self,
        device: &Device,
        input: &[f32],
        output: &mut [f32],
        progress: impl FnMut(usize),
    ) -> Result<()> {
        self.pointwise("forward_slice")?;
        let run = |inputs: &[Tensor], output: &Tensor| self.forward_into(&inputs[0], output);
        stream("forward_slice", device, &[input], output, run, progress)
    }

    /// `g'(z)` of a host slice: see [`forward_slice`](Self::forward_slice).
    ///
    /// # Errors
    /// As [`forward_slice`](Self::forward_slice).
    pub fn derivative_slice(
        &self,
        device: &Device,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        self.derivative_slice_with(device, input, output, |_| ())
    }

    /// [`derivative_slice`](Self::derivative_slice) with progress.
    ///
    /// # Errors
    /// As [`forward_slice`](Self::forward_slice).
    pub fn derivative_slice_with(
        &self,
        device: &Device,
        input: &[f32],
        output: &mut [f32],
        progress: impl FnMut(usize),
    ) -> Result<()> {
        self.pointwise("derivative_slice")?;
        let run = |inputs: &[Tensor], output: &Tensor| self.derivative_into(&inputs[0], output);
        stream("derivative_slice", device, &[input], output, run, progress)
    }

    /// dE/dz of host slices of z and `dy = dE/dy`: see [`forward_slice`](Self::forward_slice) and
    /// [`backward`](Self::backward).
    ///
    /// # Errors
    /// As [`forward_slice`](Self::forward_slice).
    pub fn backward_slice(
        &self,
        device: &Device,
        z: &[f32],
        dy: &[f32],
        dz: &mut [f32],
    ) -> Result<()> {
        self.backward_slice_with(device, z, dy, dz, |_| ())
    }

    /// [`backward_slice`](Self::backward_slice) with progress.
    ///
    /// # Errors
    /// As [`forward_slice`](Self::forward_slice).
    pub fn backward_slice_with(
        &self,
        device: &Device,
        z: &[f32],
        dy: &[f32],
        dz: &mut [f32],
        progress: impl FnMut(usize),
    ) -> Result<()> {
        self.pointwise("backward_slice")?;
        let run =
            |inputs: &[Tensor], output: &Tensor| self.backward_into(&inputs[0], &inputs[1], output);
        stream("backward_slice", device, &[z, dy], dz, run, progress)
    }
}

/// Runs an operation on chunks of the inputs.
fn stream(
    op: &'static str,
    device: &Device,
    inputs: &[&[f32]],
    output: &mut [f32],
    run: impl Fn(&[Tensor], &Tensor) -> Result<()>,
    mut progress: impl FnMut(usize),
) -> Result<()> {
    let total = output.len();
    if let Some(input) = inputs.iter().find(|input| input.len() != total) {
        let expected = format!("slices of one length, {total} elements as the output has");
        return Err(Error::shape(op, expected, input.len()));
    }
    let is_gpu = device.info().kind.is_gpu();
    let chunk = if is_gpu { CHUNK } else { CPU_CHUNK }.min(total.max(1));
    let new_slot = |length: usize| -> Result<Slot> {
        let tensor = || device.allocate(Shape::from([length]));
        let inputs = inputs.iter().map(|_| tensor()).collect::<Result<_>>()?;
        Ok(Slot { inputs, output: tensor()?, pending: None })
    };
    let count = total.div_ceil(chunk).min(if is_gpu { CHUNKS } else { 1 });
    let mut slots = (0..count).map(|_| new_slot(chunk)).collect::<Result<Vec<_>>>()?;
    let mut done = 0;
    let mut report = |length: usize| {
        done += length;
        if length > 0 {
            progress(done);
        }
    };
    for (number, start) in (0..total).step_by(chunk).enumerate() {
        let slot = &mut slots[number % count];
        report(slot.finish(output)?);
        let length = chunk.min(total - start);
        if length < chunk {
            // The last one is shorter.
            *slot = new_slot(length)?;
        }
        for (tensor, input) in slot.inputs.iter().zip(inputs) {
            tensor.write(&input[start..start + length])?;
        }
        run(&slot.inputs, &slot.output)?;
        if is_gpu {
            slot.pending = Some(Pending { start, length, reading: slot.output.start_reading()? });
        } else {
            slot.output.read_into(&mut output[start..start + length])?;
            report(length);
        }
    }
    let first = total.div_ceil(chunk) % count.max(1);
    for place in 0..count {
        report(slots[(first + place) % count].finish(output)?);
    }
    Ok(())
}
