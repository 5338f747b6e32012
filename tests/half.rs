//! Tensors of f16: the results are those of f32 on the widened values, rounded.

mod common;

use wgrad::half::f16 as H;

const DTYPE: DType = DType::F16;
/// The least bits of a half that is not finite, and the number after the greatest finite one.
const INFINITE: u16 = 0x7c00;
const BEYOND: f32 = 65_536.0;

const WRITE: &str = "write_f16";

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
        self.tensor_f16(values, shape)
    }
}

trait OfHalves {
    fn to_halves(&self) -> wgrad::Result<Vec<H>>;
    fn write_halves(&self, values: &[H]) -> wgrad::Result<()>;
}

impl OfHalves for Tensor {
    fn to_halves(&self) -> wgrad::Result<Vec<H>> {
        self.to_vec_f16()
    }

    fn write_halves(&self, values: &[H]) -> wgrad::Result<()> {
        self.write_f16(values)
    }
}

include!("halves/body.rs");
