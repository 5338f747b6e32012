//! Buffers by size class, kept for reuse.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::device::Memory;

/// The smallest buffer, also the alignment of every size: whole vec4s fit in any class.
const SMALLEST: u64 = 256;

/// The bytes that a buffer for the given bytes has: at most an eighth more, in few distinct sizes.
pub(crate) fn class_of(bytes: u64) -> u64 {
    let step = (bytes.max(1).next_power_of_two() / 16).max(SMALLEST);
    bytes.max(1).div_ceil(step) * step
}

/// Unused buffers by their class, and the account of all.
pub(crate) struct Pool<B> {
    state: Mutex<State<B>>,
}

struct State<B> {
    unused: BTreeMap<u64, Vec<B>>,
    memory: Memory,
}

impl<B> Pool<B> {
    pub(crate) fn new() -> Self {
        let state = State { unused: BTreeMap::new(), memory: Memory::default() };
        Self { state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        // The account is consistent at every point where a panic could leave it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of this class: an unused one, or a new one.
    pub(crate) fn take<E>(
        &self,
        class: u64,
        create: impl Fn() -> Result<B, E>,
    ) -> Result<Taken<B>, E> {
        let reused = {
            let mut state = self.state();
            let reused = state.unused.get_mut(&class).and_then(Vec::pop);
            if reused.is_some() {
                state.memory.pooled_bytes -= class;
            }
            reused
        };
        let taken = match reused {
            Some(buffer) => Taken { buffer, reused: true },
            None => {
                // Where there is no memory left, what the pool keeps unused may be enough.
                let created = create().or_else(|_| {
                    self.trim();
                    create()
                })?;
                Taken { buffer: created, reused: false }
            }
        };
        let memory = &mut self.state().memory;
        memory.in_use_bytes += class;
        memory.peak_bytes = memory.peak_bytes.max(memory.in_use_bytes);
        Ok(taken)
    }

    /// Takes a buffer back.
    pub(crate) fn give(&self, class: u64, buffer: B) {
        let mut state = self.state();
        state.memory.in_use_bytes -= class;
        state.memory.pooled_bytes += class;
        state.unused.entry(class).or_default().push(buffer);
    }

    /// Drops all unused buffers.
    pub(crate) fn trim(&self) {
        let unused = {
            let mut state = self.state();
            state.memory.pooled_bytes = 0;
            std::mem::take(&mut state.unused)
        };
        // Outside the lock: freeing memory may take a while.
        drop(unused);
    }

    pub(crate) fn memory(&self) -> Memory {
        self.state().memory
    }
}

/// A buffer out of a [`Pool`].
pub(crate) struct Taken<B> {
    pub(crate) buffer: B,
    /// Whether it has been used before, so that recorded work may still refer to it.
    pub(crate) reused: bool,
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
        let create = || Ok::<_, ()>(vec![0u8; 256]);
        let first = pool.take(256, create).unwrap();
        assert!(!first.reused);
        pool.give(256, first.buffer);
        assert!(pool.take(256, create).unwrap().reused);
        let memory = pool.memory();
        assert_eq!((memory.in_use_bytes, memory.pooled_bytes, memory.peak_bytes), (256, 0, 256));
    }

    #[test]
    fn a_failed_allocation_empties_the_pool_and_tries_again() {
        let pool = Pool::new();
        let spare = pool.take(512, || Ok::<_, ()>("spare")).map(|taken| taken.buffer);
        pool.give(512, spare.unwrap());
        let attempts = std::cell::Cell::new(0);
        let create = || {
            attempts.set(attempts.get() + 1);
            if attempts.get() == 1 { Err(()) } else { Ok("new") }
        };
        assert!(pool.take(256, create).is_ok());
        assert_eq!(pool.memory().pooled_bytes, 0);
    }
}
