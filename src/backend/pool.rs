//! Buffers by size class, kept for reuse.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::facts::Memory;
use crate::error::{Error, Result};

/// The size of the smallest buffer, and the alignment of every size: each
/// class is a whole number of vec4s.
const SMALLEST: u64 = 256;

/// The size of the buffer that is used for this many bytes: at most an eighth
/// larger, with few distinct sizes.
pub(crate) fn class_of(bytes: u64) -> u64 {
    let step = (bytes.max(1).next_power_of_two() / 16).max(SMALLEST);
    bytes.max(1).div_ceil(step) * step
}

/// The purpose of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Data that the caller holds.
    Tensor,
    /// Memory that an operation needs while it runs.
    Workspace,
}

/// A vector with room for this number of elements, if there is memory for it.
pub(crate) fn room<T>(elements: usize) -> Result<Vec<T>> {
    let mut room = Vec::new();
    match room.try_reserve_exact(elements) {
        Ok(()) => Ok(room),
        Err(_) => Err(Error::OutOfMemory {
            bytes: (elements as u64).saturating_mul(size_of::<T>() as u64),
        }),
    }
}

/// A copy of the elements, if there is memory for it.
pub(crate) fn copied<T: Copy>(elements: &[T]) -> Result<Vec<T>> {
    let mut copy = room(elements.len())?;
    copy.extend_from_slice(elements);
    Ok(copy)
}

/// The result of `make`. If there is not enough memory, `free` releases some
/// and `make` is called once more.
pub(crate) fn with_memory<T>(free: impl FnOnce(), make: impl Fn() -> Result<T>) -> Result<T> {
    match make() {
        Err(Error::OutOfMemory { .. }) => {
            free();
            make()
        }
        made => made,
    }
}

/// The number of bytes that a pool may always hold.
const ALWAYS: u64 = 64 << 20;

/// The unused buffers by size class, and the account of all buffers.
///
/// Together, the used and unused buffers take at most twice the bytes that have been in use at
/// one time, or [`ALWAYS`] if that is more; the oldest unused buffers are freed first. A step
/// that is repeated finds the buffers that it gave back, unless it uses many sizes, one after
/// the other and none for long.
pub(crate) struct Pool<B> {
    state: Mutex<State<B>>,
}

struct State<B> {
    /// The unused buffers of each class, oldest first, each with the time at which it came back.
    unused: BTreeMap<u64, VecDeque<(u64, B)>>,
    memory: Memory,
    /// The maximum number of bytes that have been in use at one time,
    /// unaffected by resets of the peak.
    most: u64,
    returned: u64,
}

impl<B> State<B> {
    /// Counts a buffer that is in use from now on.
    fn count(&mut self, class: u64, purpose: Purpose) {
        self.memory.add(class, purpose);
        self.most = self.most.max(self.memory.in_use_bytes);
    }

    /// Removes the oldest buffers until the rest are within the limit.
    fn excess(&mut self) -> Vec<B> {
        let limit = ALWAYS.max(2 * self.most).saturating_sub(self.memory.in_use_bytes);
        let mut excess = Vec::new();
        while self.memory.pooled_bytes > limit {
            let age = |unused: &VecDeque<(u64, B)>| unused.front().map(|&(returned, _)| returned);
            let aged = self
                .unused
                .iter_mut()
                .filter_map(|(class, unused)| Some((age(unused)?, class, unused)));
            let Some((_, &class, unused)) = aged.min_by_key(|&(returned, ..)| returned) else {
                break;
            };
            excess.extend(unused.pop_front().map(|(_, buffer)| buffer));
            if unused.is_empty() {
                self.unused.remove(&class);
            }
            self.memory.pooled_bytes -= class;
        }
        excess
    }
}

impl<B> Pool<B> {
    pub(crate) fn new() -> Self {
        let (unused, memory) = (BTreeMap::new(), Memory::default());
        Self { state: Mutex::new(State { unused, memory, most: 0, returned: 0 }) }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        // The account is consistent at every point where a panic could leave it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of this class: an unused one, or a new one.
    pub(crate) fn take<E>(
        &self,
        class: u64,
        purpose: Purpose,
        create: impl Fn() -> Result<B, E>,
    ) -> Result<B, E> {
        let mut state = self.state();
        if let Some((_, buffer)) = state.unused.get_mut(&class).and_then(VecDeque::pop_back) {
            state.memory.pooled_bytes -= class;
            state.count(class, purpose);
            return Ok(buffer);
        }
        drop(state);
        // If there is no memory left, freeing the pool's unused buffers may be enough.
        let buffer = create().or_else(|_| {
            self.trim();
            create()
        })?;
        self.state().count(class, purpose);
        Ok(buffer)
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, class: u64, purpose: Purpose, buffer: B) {
        let mut state = self.state();
        state.memory.remove(class, purpose);
        state.memory.pooled_bytes += class;
        state.returned += 1;
        let returned = state.returned;
        state.unused.entry(class).or_default().push_back((returned, buffer));
        let excess = state.excess();
        drop(state);
        // Drop the buffers outside the lock: freeing memory may take a while.
        drop(excess);
    }

    /// Notes that a buffer no longer exists.
    pub(crate) fn lose(&self, class: u64, purpose: Purpose) {
        self.state().memory.remove(class, purpose);
    }

    /// Drops all unused buffers.
    pub(crate) fn trim(&self) {
        let unused = {
            let mut state = self.state();
            state.memory.pooled_bytes = 0;
            std::mem::take(&mut state.unused)
        };
        // Drop the buffers outside the lock: freeing memory may take a while.
        drop(unused);
    }

    pub(crate) fn memory(&self) -> Memory {
        self.state().memory
    }

    /// Restarts the peaks, which from then on cover only what follows.
    pub(crate) fn reset_peak(&self) {
        self.state().memory.reset_peak();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_their_bytes_and_waste_at_most_an_eighth() {
        for bytes in (0..100_000).chain([1 << 20, (1 << 20) + 1, (1 << 30) + 12_345]) {
            let class = class_of(bytes);
            assert!(class >= bytes && class.is_multiple_of(256));
            assert!(bytes < 2048 || class - bytes <= bytes / 8, "{bytes} in {class}");
            assert_eq!(class_of(class), class);
        }
    }

    #[test]
    fn a_buffer_comes_back_and_the_account_is_even() {
        let pool = Pool::new();
        let take = |new| pool.take(256, Purpose::Tensor, || Ok::<_, ()>(new)).unwrap();
        assert_eq!(take("first"), "first");
        pool.give(256, Purpose::Tensor, "first");
        assert_eq!(take("second"), "first");
        let memory = pool.memory();
        assert_eq!((memory.in_use_bytes, memory.pooled_bytes, memory.peak_bytes), (256, 0, 256));
    }

    #[test]
    fn a_failed_allocation_empties_the_pool_and_tries_again() {
        let pool = Pool::new();
        let take = |create: &dyn Fn() -> Result<_, ()>| pool.take(512, Purpose::Tensor, create);
        let spare = take(&|| Ok("spare"));
        pool.give(512, Purpose::Tensor, spare.unwrap());
        let attempts = std::cell::Cell::new(0);
        let create = || {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 1 { Err(()) } else { Ok("new") }
        };
        assert!(pool.take(256, Purpose::Tensor, create).is_ok());
        assert_eq!(pool.memory().pooled_bytes, 0);
    }

    #[test]
    fn each_purpose_has_its_account_and_buffers_go_from_one_to_the_other() {
        let pool = Pool::new();
        let new = std::cell::Cell::new(0);
        let create = || Ok::<_, ()>(new.replace(new.get() + 1));
        let take = |class, purpose| pool.take(class, purpose, create).unwrap();
        // The current and peak bytes of the tensors, of the workspace, and of both together.
        let uses = || {
            let memory = pool.memory();
            let pair = |of: crate::backend::MemoryUse| (of.current_bytes, of.peak_bytes);
            let both = (memory.in_use_bytes, memory.peak_bytes);
            assert_eq!(both.0, memory.tensors.current_bytes + memory.workspace.current_bytes);
            (pair(memory.tensors), pair(memory.workspace), both)
        };
        take(512, Purpose::Tensor);
        take(256, Purpose::Workspace);
        assert_eq!(uses(), ((512, 512), (256, 256), (768, 768)));
        pool.give(256, Purpose::Workspace, 1);
        assert_eq!(take(256, Purpose::Tensor), 1);
        assert_eq!(uses(), ((768, 768), (0, 256), (768, 768)));
        // The peaks of the two purposes need not coincide.
        pool.give(512, Purpose::Tensor, 0);
        assert_eq!(take(512, Purpose::Workspace), 0);
        assert_eq!(uses(), ((256, 768), (512, 512), (768, 768)));
        pool.give(512, Purpose::Workspace, 0);
        pool.reset_peak();
        assert_eq!(uses(), ((256, 256), (0, 0), (256, 256)));
        take(512, Purpose::Workspace);
        assert_eq!(uses(), ((256, 256), (512, 512), (768, 768)));
        assert_eq!(pool.memory().pooled_bytes, 0);
    }
}
