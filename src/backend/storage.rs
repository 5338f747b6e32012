//! The storage of tensors' elements, on any backend.

use std::any::Any;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use super::bounds::Bounds;
use super::operation::Use;
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Whether there has been a storage that is not [whole](Storage::is_whole). As long as there has been none, operations,
/// the smallest of which take 200 ns, do not look for one, which takes 10 to 25.
static PARTS: AtomicBool = AtomicBool::new(false);

/// Whether some storages may not be [whole](Storage::is_whole).
pub(crate) fn there_are_parts() -> bool {
    PARTS.load(Ordering::Relaxed)
}

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
    /// The memory that parts of it share.
    fn memory(&self) -> Arc<dyn Any + Send + Sync>;
    /// The words that this is of the memory or, if the caller owns it, of the buffer.
    fn span(&self) -> Range<usize>;
    /// These words of it, without a copy.
    fn part(&self, words: Range<usize>) -> Arc<dyn Contents>;
    /// Whether operations can use it as it is. If they cannot, they use a copy.
    fn is_direct(&self, used: Use) -> bool;
}

/// The elements of a tensor. A clone shares them.
#[derive(Clone)]
pub(crate) struct Storage {
    contents: Arc<dyn Contents>,
    dtype: DType,
    /// The number of elements. An f32 takes one word; two f16 share a
    /// word, the first in its low half.
    elements: usize,
    /// Whether this begins with the first word of its memory and is no part of another storage.
    whole: bool,
}

impl Storage {
    pub(crate) fn new(contents: Arc<dyn Contents>, words: usize) -> Self {
        let whole = contents.span().start == 0;
        Self { contents, dtype: DType::F32, elements: words, whole: true }.marked(whole)
    }

    /// The storage, marked as one that is whole or not.
    fn marked(self, whole: bool) -> Self {
        if !whole {
            PARTS.store(true, Ordering::Relaxed);
        }
        Self { whole, ..self }
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

    /// The elements from `start` on, which share the words of this storage; `None` if they do not begin or end with a
    /// word of their own, as the second of two f16 does not.
    pub(crate) fn part(&self, start: usize, elements: usize) -> Option<Self> {
        let first = self.dtype.words(start);
        let is_whole_word = self.dtype == DType::F32 || start.is_multiple_of(2);
        let words = first..first + self.dtype.words(elements);
        let part = || Self { contents: self.contents.part(words), elements, ..self.clone() };
        is_whole_word.then(|| part().marked(false))
    }

    /// Whether the storage begins with the first word of its memory and is no part of another.
    pub(crate) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether operations can use the storage as it is.
    pub(crate) fn is_direct(&self, used: Use) -> bool {
        self.contents.is_direct(used)
    }

    /// Whether both are in the same memory.
    pub(crate) fn shares_memory(&self, other: &Self) -> bool {
        let buffers = self.contents.buffer().zip(other.contents.buffer());
        match buffers {
            Some((one, other)) => one == other,
            None => Arc::ptr_eq(&self.contents.memory(), &other.contents.memory()),
        }
    }

    /// Whether both are the same words.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.shares_memory(other) && self.contents.span() == other.contents.span()
    }

    /// Whether writes to one storage are visible in the other.
    pub(crate) fn is(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.contents, &other.contents) {
            return true;
        }
        let (one, two) = (self.contents.span(), other.contents.span());
        one.start < two.end && two.start < one.end && self.shares_memory(other)
    }

    /// The place of the words; storages that begin with the same word have the same place.
    pub(crate) fn place(&self) -> Place {
        let first = self.contents.span().start;
        match self.contents.buffer().filter(|_| self.contents.is_adopted()) {
            Some(buffer) => Place::Adopted(buffer.clone(), first),
            None => Place::Own(Arc::as_ptr(&self.contents.memory()).addr(), first),
        }
    }

    /// The extremes of the elements, if the host wrote them.
    pub(crate) fn bounds(&self) -> Option<Bounds> {
        self.contents.bounds(self.dtype, self.elements)
    }

    /// The byte of the wgpu buffer at which the elements begin; 0 on the CPU.
    pub(crate) fn buffer_offset(&self) -> u64 {
        let first = self.contents.buffer().map_or(0, |_| self.contents.span().start);
        first as u64 * size_of::<f32>() as u64
    }

    /// The wgpu buffer, for the caller, who may write to it or destroy it
    /// from now on; `None` on the CPU.
    pub(crate) fn share(&self) -> Option<&wgpu::Buffer> {
        self.contents.share();
        self.contents.buffer()
    }
}

/// The place of a storage's first word, valid as long as the storage lives.
#[derive(PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Own(usize, usize),
    /// A buffer that the caller owns, no matter which tensor uses it.
    Adopted(wgpu::Buffer, usize),
}

/// Recognises a storage that was seen before, without keeping its memory alive.
pub(crate) struct Identity {
    memory: Known,
    /// The first word.
    first: usize,
}

enum Known {
    Own(Weak<dyn Any + Send + Sync>),
    /// A buffer that the caller owns, no matter which tensor uses it.
    Adopted(wgpu::Buffer),
}

impl Identity {
    pub(crate) fn of(storage: &Storage) -> Self {
        let (memory, first) = match storage.place() {
            Place::Adopted(buffer, first) => (Known::Adopted(buffer), first),
            Place::Own(_, first) => (Known::Own(Arc::downgrade(&storage.contents.memory())), first),
        };
        Self { memory, first }
    }

    pub(crate) fn is(&self, storage: &Storage) -> bool {
        let is_memory = match &self.memory {
            Known::Own(known) => {
                ptr::addr_eq(known.as_ptr(), Arc::as_ptr(&storage.contents.memory()))
            }
            Known::Adopted(known) => storage.contents.buffer() == Some(known),
        };
        is_memory && self.first == storage.contents.span().start
    }

    /// Whether the storage can still appear again.
    pub(crate) fn is_alive(&self) -> bool {
        match &self.memory {
            Known::Own(known) => known.strong_count() > 0,
            Known::Adopted(_) => true,
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.memory {
            Known::Own(known) => write!(f, "Own({:p}, {})", known.as_ptr(), self.first),
            Known::Adopted(buffer) => write!(f, "Adopted({buffer:?}, {})", self.first),
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
