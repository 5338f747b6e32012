//! The elements of tensors, wherever they are.

use std::any::Any;
use std::ptr;
use std::sync::{Arc, Weak};

use super::bounds::Bounds;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Memory of a backend, in 32-bit words.
pub(crate) trait Contents: Any + Send + Sync {
    /// The extremes of the first elements, of this type, if the host wrote them.
    fn bounds(&self, dtype: DType, elements: usize) -> Option<Bounds>;
    /// The wgpu buffer that the memory is; `None` on the CPU.
    fn buffer(&self) -> Option<&wgpu::Buffer>;
    /// Notes that the caller has the buffer from here on, and may write to it or destroy it.
    fn share(&self);
    /// Whether the buffer is the caller's own.
    fn is_adopted(&self) -> bool;
}

/// The elements of a tensor. A clone shares them.
#[derive(Clone)]
pub(crate) struct Storage {
    contents: Arc<dyn Contents>,
    dtype: DType,
    /// How many there are: as many words for f32; of f16 two in each word, the first in its low half.
    elements: usize,
}

impl Storage {
    pub(crate) fn new(contents: Arc<dyn Contents>, words: usize) -> Self {
        Self { contents, dtype: DType::F32, elements: words }
    }

    /// The same words, which hold elements of this type.
    pub(crate) fn holding(self, dtype: DType, elements: usize) -> Self {
        Self { dtype, elements, ..self }
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// The memory of a backend that computes with f32 alone.
    pub(crate) fn contents<C: Contents>(&self) -> Result<&C> {
        if self.dtype != DType::F32 {
            return Err(taken_for_f32());
        }
        self.words()
    }

    /// The memory, whatever the type of the elements.
    pub(crate) fn words<C: Contents>(&self) -> Result<&C> {
        let contents: &dyn Any = &*self.contents;
        contents.downcast_ref().ok_or_else(|| Error::DeviceMismatch {
            op: "backend",
            first: "one of a backend".to_owned(),
            second: "one of another".to_owned(),
        })
    }

    /// The type of storages that all have the same.
    pub(crate) fn common_type<const N: usize>(storages: [&Self; N]) -> Result<DType> {
        let first = storages.first().map_or(DType::F32, |storage| storage.dtype());
        let same = storages.iter().all(|storage| storage.dtype() == first);
        if same { Ok(first) } else { Err(taken_for_f32()) }
    }

    /// Whether what is written to one is seen in the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let buffers = self.contents.buffer().zip(other.contents.buffer());
        Arc::ptr_eq(&self.contents, &other.contents)
            || buffers.is_some_and(|(one, other)| one == other)
    }

    /// Where the words are: the same for storages that share them.
    pub(crate) fn place(&self) -> Place {
        match self.contents.buffer().filter(|_| self.contents.is_adopted()) {
            Some(buffer) => Place::Adopted(buffer.clone()),
            None => Place::Own(Arc::as_ptr(&self.contents).addr()),
        }
    }

    /// The extremes of the elements, if the host wrote them.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        self.contents.bounds(self.dtype, self.elements)
    }

    /// The wgpu buffer for the caller, who may write to it or destroy it from here on; `None` on the CPU.
    pub(crate) fn share(&self) -> Option<&wgpu::Buffer> {
        self.contents.share();
        self.contents.buffer()
    }
}

/// Where the words of a storage are, as long as it lives.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Own(usize),
    /// A buffer of the caller's, in whichever tensor it comes.
    Adopted(wgpu::Buffer),
}

/// Tells whether a storage is one that was seen before, without keeping its memory.
pub(crate) enum Identity {
    Own(Weak<dyn Contents>),
    /// A buffer of the caller's, in whichever tensor it comes.
    Adopted(wgpu::Buffer),
}

impl Identity {
    pub(crate) fn of(storage: &Storage) -> Self {
        match storage.place() {
            Place::Adopted(buffer) => Self::Adopted(buffer),
            Place::Own(_) => Self::Own(Arc::downgrade(&storage.contents)),
        }
    }

    pub(crate) fn is(&self, storage: &Storage) -> bool {
        match self {
            Self::Own(known) => ptr::addr_eq(known.as_ptr(), Arc::as_ptr(&storage.contents)),
            Self::Adopted(known) => storage.contents.buffer() == Some(known),
        }
    }

    /// Whether it can still come again.
    pub(crate) fn is_alive(&self) -> bool {
        match self {
            Self::Own(known) => known.strong_count() > 0,
            Self::Adopted(_) => true,
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own(known) => write!(f, "Own({:p})", known.as_ptr()),
            Self::Adopted(buffer) => write!(f, "Adopted({buffer:?})"),
        }
    }
}

/// That a storage of halves was about to be read as one of f32.
fn taken_for_f32() -> Error {
    Error::Unsupported {
        what: "an f16 tensor".to_owned(),
        reason: "the kernel computes with f32 alone".to_owned(),
    }
}
