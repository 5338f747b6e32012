//! The memory of tensors on the CPU.

use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use half::{bf16, f16};

use super::region::Region;
use crate::backend::{Bounds, Contents, Pool, Purpose, Storage, Use, class_of};
use crate::dtype::DType;
use crate::error::{Error, Result};

/// Elements in memory that returns to the pool when nothing needs them any more.
pub(crate) struct Block {
    // All elements of the size class. Those beyond the tensor's length are never read.
    region: Region,
    class: u64,
    pool: Arc<Pool<Region>>,
    purpose: Purpose,
    /// The bounds of what the host wrote, once they have been asked for; `None` if an
    /// operation wrote the elements.
    bounds: Option<OnceLock<Option<Bounds>>>,
}

impl Block {
    pub(super) fn new(pool: &Arc<Pool<Region>>, purpose: Purpose, elements: usize) -> Result<Self> {
        let class = class_of((elements * size_of::<f32>()) as u64);
        let region = pool.take(class, purpose, || Region::new(class))?;
        Ok(Self { region, class, pool: Arc::clone(pool), purpose, bounds: None })
    }

    fn elements(&self, elements: usize) -> &[f32] {
        &self.region[..elements]
    }

    /// The elements, for a writer; drops the known bounds, which no longer hold.
    pub(super) fn elements_mut(&mut self, elements: usize) -> &mut [f32] {
        self.bounds = None;
        &mut self.region[..elements]
    }
}

impl Block {
    /// All elements of the size class, for a writer.
    pub(super) fn all_mut(&mut self) -> &mut [f32] {
        &mut self.region
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let region = std::mem::take(&mut self.region);
        self.pool.give(self.class, self.purpose, region);
    }
}

/// The memory of a tensor.
struct Memory {
    /// `None` until the first write.
    block: Mutex<Option<Arc<Block>>>,
    pool: Arc<Pool<Region>>,
    purpose: Purpose,
    elements: usize,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<Block>>> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_block(&self) -> Result<Block> {
        Block::new(&self.pool, self.purpose, self.elements)
    }

    fn copy_of(&self, held: &Block) -> Result<Block> {
        let mut block = self.new_block()?;
        block.elements_mut(self.elements).copy_from_slice(held.elements(self.elements));
        Ok(block)
    }
}

/// The elements of a tensor. Readers hold a snapshot; a writer fills a new block and swaps it in.
/// An output may therefore be one of the inputs, and no lock is held during computations, except in
/// [`modify`](Self::modify). Workspace that nobody reads is written in place.
///
/// A part of another cell shares the memory of that cell. It is read as any other, but it has no block to swap in: it can
/// only be written by the host, [zeroed](Self::zero) and [modified](Self::modify).
pub(crate) struct Cell {
    memory: Arc<Memory>,
    /// The elements that this is of the memory.
    range: Range<usize>,
}

impl Cell {
    pub(crate) fn new(pool: &Arc<Pool<Region>>, purpose: Purpose, elements: usize) -> Self {
        let (block, pool) = (Mutex::new(None), Arc::clone(pool));
        let memory = Arc::new(Memory { block, pool, purpose, elements });
        Self { memory, range: 0..elements }
    }

    fn is_part(&self) -> bool {
        self.range.len() < self.memory.elements
    }

    /// The memory of a cell that is no part of another.
    fn whole(&self) -> Result<&Memory> {
        if self.is_part() {
            return Err(Error::Unsupported {
                what: "an operation that writes to a part of a tensor".to_owned(),
                reason: "the CPU computes it in a copy".to_owned(),
            });
        }
        Ok(&self.memory)
    }

    /// Takes the block of a workspace that nobody reads. Only one operation knows of it, so
    /// nobody misses it in the meantime.
    fn unread_workspace(&self) -> Option<Arc<Block>> {
        if self.is_workspace() { unshared(self.memory.lock().take()?).ok() } else { None }
    }

    pub(crate) fn elements(&self) -> usize {
        self.range.len()
    }

    /// The current elements.
    pub(crate) fn snapshot(&self) -> Result<Snapshot> {
        let written = self.memory.lock().clone();
        let block = match written {
            Some(block) => block,
            None => Arc::new(self.memory.new_block()?),
        };
        Ok(Snapshot { block, range: self.range.clone() })
    }

    /// Lets the function write all elements. Their previous contents are arbitrary.
    pub(crate) fn overwrite<T>(&self, write: impl FnOnce(&mut [f32]) -> T) -> Result<T> {
        self.replace(None, write)
    }

    /// Lets the function copy the host's data; the bounds are computed when they are asked for.
    pub(crate) fn upload(&self, write: impl FnOnce(&mut [f32])) -> Result<()> {
        if self.is_part() { self.modify(write) } else { self.replace(Some(OnceLock::new()), write) }
    }

    /// Lets the function copy what has no bounds.
    pub(crate) fn store(&self, write: impl FnOnce(&mut [f32])) -> Result<()> {
        if self.is_part() { self.modify(write) } else { self.overwrite(write) }
    }

    pub(crate) fn zero(&self) -> Result<()> {
        let fill = |elements: &mut [f32]| elements.fill(0.0);
        if self.is_part() {
            return self.modify(fill);
        }
        let bounds = OnceLock::from(Bounds::of_zeros(self.elements()));
        self.replace(Some(bounds), fill)
    }

    fn replace<T>(
        &self,
        bounds: Option<OnceLock<Option<Bounds>>>,
        write: impl FnOnce(&mut [f32]) -> T,
    ) -> Result<T> {
        let mut elements = self.new_elements()?;
        let result = write(&mut elements);
        elements.set_bounds(bounds);
        Ok(result)
    }

    /// The elements for a writer that writes all of them; their previous contents are arbitrary.
    pub(super) fn new_elements(&self) -> Result<Writing<'_>> {
        let memory = self.whole()?;
        let unread = self.unread_workspace();
        let block = unread.map_or_else(|| memory.new_block().map(Arc::new), Ok)?;
        Ok(Writing { memory, block: Some(block) })
    }

    /// The elements for a writer that changes them: in place, or on a copy if somebody holds a
    /// snapshot. No other operation may know of them; nothing is locked in the meantime.
    pub(super) fn own_elements(&self) -> Result<Writing<'_>> {
        let memory = self.whole()?;
        let held = memory.lock().take();
        let block = match held.map(unshared) {
            Some(Ok(block)) => block,
            Some(Err(held)) => Arc::new(memory.copy_of(&held)?),
            None => Arc::new(memory.new_block()?),
        };
        Ok(Writing { memory, block: Some(block) })
    }

    pub(super) fn is_workspace(&self) -> bool {
        self.memory.purpose == Purpose::Workspace
    }

    /// Releases the memory until it is written again.
    pub(super) fn release(&self) {
        let released = self.memory.lock().take();
        // This returns to the pool after the lock is released.
        drop(released);
    }

    /// Restores the elements of a snapshot of a cell of the same size, which is no part of another.
    pub(crate) fn restore(&self, snapshot: &Snapshot) -> Result<()> {
        if self.is_part() {
            return self.modify(|elements| elements.copy_from_slice(snapshot));
        }
        let replaced = self.memory.lock().replace(Arc::clone(&snapshot.block));
        // This returns to the pool after the lock is released.
        drop(replaced);
        Ok(())
    }

    /// Lets the function change elements that no other operation knows of: see
    /// [`own_elements`](Self::own_elements).
    pub(crate) fn rewrite<T>(&self, change: impl FnOnce(&mut [f32]) -> T) -> Result<T> {
        Ok(change(&mut self.own_elements()?))
    }

    /// The bounds of the elements, if the host wrote them. Those of a part are not known.
    pub(crate) fn bounds(&self, of: impl FnOnce(&[f32]) -> Option<Bounds>) -> Option<Bounds> {
        let block = self.memory.lock().clone().filter(|_| !self.is_part())?;
        let bounds = block.bounds.as_ref()?;
        if let Some(known) = bounds.get() {
            return *known;
        }
        // Do not compute inside get_or_init: while the thread waits for rayon there, it may take up
        // work that ends up here again.
        let computed = of(block.elements(self.elements()));
        *bounds.get_or_init(|| computed)
    }

    /// Lets the function change elements: in place, or on a copy if somebody holds a snapshot.
    ///
    /// The cell stays locked while the function runs, so that no change is lost. The function
    /// must therefore not wait for other rayon threads: one of them may take up work that needs
    /// this cell, and never return.
    pub(crate) fn modify<T>(&self, change: impl FnOnce(&mut [f32]) -> T) -> Result<T> {
        let memory = &self.memory;
        let part = |block: &mut Block| {
            change(&mut block.elements_mut(memory.elements)[self.range.clone()])
        };
        let mut held = memory.lock();
        if let Some(block) = held.as_mut().and_then(Arc::get_mut) {
            return Ok(part(block));
        }
        let mut block = match held.as_ref() {
            Some(held) => memory.copy_of(held)?,
            None => memory.new_block()?,
        };
        let result = part(&mut block);
        *held = Some(Arc::new(block));
        Ok(result)
    }
}

/// The block; an error if somebody else holds it too.
fn unshared(mut block: Arc<Block>) -> Result<Arc<Block>, Arc<Block>> {
    if Arc::get_mut(&mut block).is_some() { Ok(block) } else { Err(block) }
}

/// Elements that are being written; dropping this stores them in the cell.
pub(super) struct Writing<'a> {
    memory: &'a Memory,
    /// Nobody else holds the block; it is `None` only while it is being dropped.
    block: Option<Arc<Block>>,
}

impl Writing<'_> {
    fn block_mut(&mut self) -> Option<&mut Block> {
        self.block.as_mut().and_then(Arc::get_mut)
    }

    fn set_bounds(&mut self, bounds: Option<OnceLock<Option<Bounds>>>) {
        if let Some(block) = self.block_mut() {
            block.bounds = bounds;
        }
    }
}

impl std::ops::Deref for Writing<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.block.as_ref().map_or(&[], |block| block.elements(self.memory.elements))
    }
}

impl std::ops::DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut [f32] {
        let elements = self.memory.elements;
        self.block_mut().map_or(&mut [], |block| block.elements_mut(elements))
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            let replaced = self.memory.lock().replace(block);
            // This returns to the pool after the lock is released.
            drop(replaced);
        }
    }
}

impl Contents for Cell {
    fn bounds(&self, dtype: DType, elements: usize) -> Option<Bounds> {
        self.bounds(|words| match dtype {
            DType::F32 => Bounds::of(words),
            DType::F16 => Bounds::of_halves::<f16>(&bytemuck::cast_slice(words)[..elements]),
            DType::BF16 => Bounds::of_halves::<bf16>(&bytemuck::cast_slice(words)[..elements]),
        })
    }

    fn buffer(&self) -> Option<&wgpu::Buffer> {
        None
    }

    fn share(&self) {}

    fn is_adopted(&self) -> bool {
        false
    }

    fn memory(&self) -> Arc<dyn Any + Send + Sync> {
        Arc::<Memory>::clone(&self.memory)
    }

    fn span(&self) -> Range<usize> {
        self.range.clone()
    }

    fn part(&self, words: Range<usize>) -> Arc<dyn Contents> {
        let first = self.range.start;
        let range = first + words.start..first + words.end;
        Arc::new(Self { memory: Arc::clone(&self.memory), range })
    }

    fn is_direct(&self, used: Use) -> bool {
        used == Use::Read || !self.is_part()
    }
}

/// A storage on this backend.
pub(super) trait OnCpu {
    /// The memory of an f32 storage.
    fn cpu(&self) -> Result<&Cell>;
    /// The memory, for elements of any type.
    fn cpu_words(&self) -> Result<&Cell>;
}

impl OnCpu for Storage {
    fn cpu(&self) -> Result<&Cell> {
        self.contents()
    }

    fn cpu_words(&self) -> Result<&Cell> {
        self.words()
    }
}

/// Elements that do not change, whatever is written in the meantime.
#[derive(Clone)]
pub(crate) struct Snapshot {
    block: Arc<Block>,
    range: Range<usize>,
}

impl std::ops::Deref for Snapshot {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.block.elements(self.range.end)[self.range.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The maximum number of blocks that two writes need at a time, without
    /// or with a reader between them.
    fn peak_blocks(purpose: Purpose, read: bool) -> u64 {
        let pool = Arc::new(Pool::new());
        let cell = Cell::new(&pool, purpose, 64);
        cell.overwrite(|elements| elements.fill(1.0)).unwrap();
        let snapshot = read.then(|| cell.snapshot().unwrap());
        cell.overwrite(|elements| elements.fill(2.0)).unwrap();
        assert_eq!(cell.snapshot().unwrap()[..], [2.0; 64]);
        assert!(snapshot.is_none_or(|old| old[..] == [1.0; 64]));
        assert_eq!(pool.memory().in_use_bytes, 256);
        drop(cell);
        assert_eq!(pool.memory().in_use_bytes, 0);
        pool.memory().peak_bytes / 256
    }

    #[test]
    fn workspace_is_written_in_place_where_nobody_reads_it() {
        assert_eq!(peak_blocks(Purpose::Workspace, false), 1);
        assert_eq!(peak_blocks(Purpose::Workspace, true), 2);
        assert_eq!(peak_blocks(Purpose::Tensor, false), 2);
        assert_eq!(peak_blocks(Purpose::Tensor, true), 2);
    }

    #[test]
    fn a_change_is_in_place_unless_somebody_holds_a_snapshot() {
        let pool = Arc::new(Pool::new());
        let cell = Cell::new(&pool, Purpose::Tensor, 3);
        cell.overwrite(|values| values.copy_from_slice(&[1.0, 2.0, 3.0])).unwrap();
        cell.modify(|values| values[1] += 1.0).unwrap();
        assert_eq!(&cell.snapshot().unwrap()[..], [1.0, 3.0, 3.0]);
        assert_eq!(pool.memory().peak_bytes, 256);

        let before = cell.snapshot().unwrap();
        cell.modify(|values| values[2] = 9.0).unwrap();
        assert_eq!(&before[..], [1.0, 3.0, 3.0]);
        assert_eq!(&cell.snapshot().unwrap()[..], [1.0, 3.0, 9.0]);
        drop(before);
        assert_eq!(pool.memory().in_use_bytes, 256);
    }
}
