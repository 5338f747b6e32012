//! What the output layer and dense layers share: z = x·w + b and its gradients.

use crate::activation::Activation;
use crate::backend::{Epilogue, Product};
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::{Tensor, check_devices, check_shape};

/// The checked operands of `x·w + b`.
pub(crate) struct Linear<'a> {
    pub(crate) x: &'a Tensor,
    pub(crate) w: &'a Tensor,
    pub(crate) b: Option<&'a Tensor>,
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl<'a> Linear<'a> {
    /// Checks x [B, M], w [M, K] and b `[K]`.
    pub(crate) fn new(
        op: &'static str,
        x: &'a Tensor,
        w: &'a Tensor,
        b: Option<&'a Tensor>,
    ) -> Result<Self> {
        let tensors = [Some(x), Some(w), b];
        check_devices(op, tensors.into_iter().flatten().map(Tensor::device))?;
        let &[batch, inputs] = x.shape() else {
            return Err(Error::shape(op, "x of shape [batch, inputs]", x.dimensions()));
        };
        let &[rows, outputs] = w.shape() else {
            return Err(Error::shape(op, "w of shape [inputs, outputs]", w.dimensions()));
        };
        if rows != inputs {
            let expected =
                format!("w of shape [{inputs}, outputs] for x of shape {}", x.dimensions());
            return Err(Error::shape(op, expected, w.dimensions()));
        }
        if outputs == 0 {
            return Err(Error::shape(op, "w with at least one output", w.dimensions()));
        }
        if let Some(b) = b {
            check_shape(op, "b", b, &[outputs])?;
        }
        Ok(Self { x, w, b, batch, inputs, outputs })
    }

    /// `g(x·w + b)` for a pointwise g.
    pub(crate) fn forward(&self, activation: &Activation) -> Result<Tensor> {
        self.forward_into(activation, self.x.device().allocate(self.output_shape())?)
    }

    /// `x·w + b` where it is not handed out.
    pub(crate) fn logits(&self) -> Result<Tensor> {
        self.forward_into(&Activation::Identity, self.x.device().workspace(self.output_shape())?)
    }

    fn forward_into(&self, activation: &Activation, output: Tensor) -> Result<Tensor> {
        let product = self.product(self.batch, self.inputs, self.outputs);
        let epilogue = Epilogue { bias: self.b.map(Tensor::storage), activation };
        let (x, w) = (self.x.storage(), self.w.storage());
        self.x.device().backend.matmul(product, x, w, epilogue, output.storage())?;
        Ok(output)
    }

    fn output_shape(&self) -> Shape {
        Shape::from([self.batch, self.outputs])
    }

    /// `dE/dw = xᵀ·dz`.
    pub(crate) fn weight_gradient(&self, dz: &Tensor) -> Result<Tensor> {
        let product =
            Product { transpose_a: true, ..self.product(self.inputs, self.batch, self.outputs) };
        self.multiply(product, self.x, dz, Epilogue::NONE, [self.inputs, self.outputs])
    }

    /// `dE/dx = dz·wᵀ`.
    pub(crate) fn input_gradient(&self, dz: &Tensor) -> Result<Tensor> {
        let product =
            Product { transpose_b: true, ..self.product(self.batch, self.outputs, self.inputs) };
        self.multiply(product, dz, self.w, Epilogue::NONE, [self.batch, self.inputs])
    }

    /// `dE/db = Σ_batch dz`.
    pub(crate) fn bias_gradient(&self, dz: &Tensor) -> Result<Tensor> {
        let db = dz.device().allocate(Shape::from([self.outputs]))?;
        dz.device().backend.column_sum(dz.storage(), db.storage(), dz.rows())?;
        Ok(db)
    }

    fn product(&self, rows: usize, inner: usize, columns: usize) -> Product {
        Product { rows, inner, columns, transpose_a: false, transpose_b: false }
    }

    fn multiply(
        &self,
        product: Product,
        a: &Tensor,
        b: &Tensor,
        epilogue: Epilogue<'_>,
        shape: [usize; 2],
    ) -> Result<Tensor> {
        let output = a.device().allocate(Shape::from(shape))?;
        let (a, b) = (a.storage(), b.storage());
        self.x.device().backend.matmul(product, a, b, epilogue, output.storage())?;
        Ok(output)
    }
}
