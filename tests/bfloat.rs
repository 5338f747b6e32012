//! Tensors of bf16: the results are those of f32 on the widened values, rounded.

mod common;

use wgrad::half::bf16 as H;

const DTYPE: DType = DType::BF16;
/// The least bits of a half that is not finite, and the number after the greatest finite one.
const INFINITE: u16 = 0x7f80;
const BEYOND: f32 = f32::INFINITY;

const WRITE: &str = "write_bf16";

trait Halves {
    fn tensor_of_halves(
        &self,
        values: &[H],
        shape: impl Into<wgrad::Shape>,
    ) -> wgrad::Result<Tensor>;
}

impl Halves for Device {
    fn tensor_of_halves(
        &self,
        values: &[H],
        shape: impl Into<wgrad::Shape>,
    ) -> wgrad::Result<Tensor> {
        self.tensor_bf16(values, shape)
    }
}

trait OfHalves {
    fn to_halves(&self) -> wgrad::Result<Vec<H>>;
    fn write_halves(&self, values: &[H]) -> wgrad::Result<()>;
}

impl OfHalves for Tensor {
    fn to_halves(&self) -> wgrad::Result<Vec<H>> {
        self.to_vec_bf16()
    }

    fn write_halves(&self, values: &[H]) -> wgrad::Result<()> {
        self.write_bf16(values)
    }
}

include!("halves/body.rs");
