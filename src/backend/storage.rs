//! The storage of tensors' elements, on any backend.

use std::any::Any;
use std::ptr;
use std::sync::{Arc, Weak};

use super::bounds::Bounds;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Memory of a backend, in 32-bit words.
pub(crate) trait Contents: Any + Send + Sync {
    /// The extremes of the first `elements` elements, read as this type, if the host wrote them.
    fn bounds(&self, dtype: DType, elements: usize) -> Option<Bounds>;
    /// The wgpu buffer that holds the memory; `None` on the CPU.
    fn buffer(&self) -> Option<&wgpu::Buffer>;
    /// Notes that the caller has access to the buffer from now on, and
    /// may write to it or destroy it.
    fn share(&self);
    /// Whether the caller owns the buffer.
    fn is_adopted(&self) -> bool;
}

/// The elements of a tensor. A clone shares them.
#[derive(Clone)]
pub(crate) struct Storage {
    contents: Arc<dyn Contents>,
    dtype: DType,
    /// The number of elements. An f32 takes one word; two f16 share a
    /// word, the first in its low half.
    elements: usize,
}

impl Storage {
    pub(crate) fn new(contents: Arc<dyn Contents>, words: usize) -> Self {
        Self { contents, dtype: DType::F32, elements: words }
    }

    /// The same words, holding elements of this type.
    pub(crate) fn holding(self, dtype: DType, elements: usize) -> Self {
        Self { dtype, elements, ..self }
    }

    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// The memory, for a backend operation that computes with f32 only; an error for other types.
    pub(crate) fn contents<C: Contents>(&self) -> Result<&C> {
        if self.dtype != DType::F32 {
            return Err(taken_for_f32());
        }
        self.words()
    }

    /// The memory, for elements of any type.
    pub(crate) fn words<C: Contents>(&self) -> Result<&C> {
        let contents: &dyn Any = &*self.contents;
        contents.downcast_ref().ok_or_else(|| Error::DeviceMismatch {
            op: "backend",
            first: "the CPU's memory".to_owned(),
            second: "a GPU's memory".to_owned(),
        })
    }

    /// The type that all of these storages have; an error if they differ.
    pub(crate) fn common_type<const N: usize>(storages: [&Self; N]) -> Result<DType> {
        let first = storages.first().map_or(DType::F32, |storage| storage.dtype());
        let same = storages.iter().all(|storage| storage.dtype() == first);
        if same { Ok(first) } else { Err(taken_for_f32()) }
    }

    /// Whether writes to one storage are visible in the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        let buffers = self.contents.buffer().zip(other.contents.buffer());
        Arc::ptr_eq(&self.contents, &other.contents)
            || buffers.is_some_and(|(one, other)| one == other)
    }

    /// The place of the words; storages that share their words have the same place.
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

    /// The wgpu buffer, for the caller, who may write to it or destroy it
    /// from now on; `None` on the CPU.
    pub(crate) fn share(&self) -> Option<&wgpu::Buffer> {
        self.contents.share();
        self.contents.buffer()
    }
}

/// The place of a storage's words, valid as long as the storage lives.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Own(usize),
    /// A buffer that the caller owns, no matter which tensor uses it.
    Adopted(wgpu::Buffer),
}

/// Recognises a storage that was seen before, without keeping its memory alive.
pub(crate) enum Identity {
    Own(Weak<dyn Contents>),
    /// A buffer that the caller owns, no matter which tensor uses it.
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

    /// Whether the storage can still appear again.
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

/// The error for reading a storage of f16 as one of f32.
fn taken_for_f32() -> Error {
    Error::Unsupported {
        what: "an f16 tensor".to_owned(),
        reason: "the kernel computes with f32 alone".to_owned(),
    }
}
