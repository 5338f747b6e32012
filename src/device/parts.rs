//! Operations on parts of tensors.
//!
//! A backend uses some parts where they are. All others it sees as copies, which are made before an operation and, if the
//! operation writes to them, copied back after it.

use std::ops::{Bound, Range, RangeBounds};

use super::Device;
use crate::backend::{Op, OpOf, Storage, Use};
use crate::error::{Error, Result};

impl Device {
    /// Runs an operation on copies of the parts that it cannot use as they are.
    pub(super) fn run_on_copies(&self, op: &Op<'_>) -> Result<()> {
        let copies = Copies::needed(self, op)?;
        if copies.0.is_empty() {
            return self.run_directly(op);
        }
        copies.begin(self)?;
        self.run_directly(&copies.in_place_of_parts(op))?;
        copies.finish(self)
    }
}

/// The copies that an operation uses in place of parts of tensors.
struct Copies(Vec<Copy>);

struct Copy {
    of: Storage,
    copy: Storage,
    written: bool,
}

impl Copies {
    /// The copies that an operation on this device needs.
    fn needed(device: &Device, op: &Op<'_>) -> Result<Self> {
        let mut copies = Self(Vec::new());
        if matches!(op, OpOf::Copy { .. } | OpOf::Zero { .. }) {
            return Ok(copies);
        }
        let mut parts: Vec<(&Storage, Use)> = Vec::new();
        op.map(&mut |&storage, used| {
            if !storage.is_whole() {
                parts.push((storage, used));
            }
        });
        for &(part, used) in &parts {
            if part.is_direct(used) && !overlaps_others(op, part, used) {
                continue;
            }
            let written = used == Use::Written;
            if let Some(copy) = copies.0.iter_mut().find(|copy| copy.of.is_same(part)) {
                copy.written |= written;
                continue;
            }
            let (dtype, elements) = (part.dtype(), part.elements());
            let copy = device.scratch(dtype.words(elements))?.holding(dtype, elements);
            copies.0.push(Copy { of: part.clone(), copy, written });
        }
        Ok(copies)
    }

    /// Makes the copies. Those that are only written, too: an operation may write to some of the elements.
    fn begin(&self, device: &Device) -> Result<()> {
        let mut copies = self.0.iter();
        copies.try_for_each(|Copy { of, copy, .. }| {
            device.run_directly(&OpOf::Copy { input: of, output: copy })
        })
    }

    /// The operation on the copies.
    fn in_place_of_parts<'a>(&'a self, op: &Op<'a>) -> Op<'a> {
        op.map(&mut |&storage, _| {
            let copy = self.0.iter().find(|copy| copy.of.is_same(storage));
            copy.map_or(storage, |copy| &copy.copy)
        })
    }

    /// Copies back what has been written.
    fn finish(&self, device: &Device) -> Result<()> {
        let mut written = self.0.iter().filter(|copy| copy.written);
        written.try_for_each(|Copy { of, copy, .. }| {
            device.run_directly(&OpOf::Copy { input: copy, output: of })
        })
    }
}

/// Whether the operation writes to other words of the same memory, or to this part while it uses others.
fn overlaps_others(op: &Op<'_>, part: &Storage, used: Use) -> bool {
    let mut overlaps = false;
    op.map(&mut |&other, other_used| {
        let written = used == Use::Written || other_used == Use::Written;
        overlaps |= written && other.shares_memory(part) && !other.is_same(part);
    });
    overlaps
}

/// The rows that a range names, of this number of rows.
pub(super) fn range_of(
    op: &'static str,
    rows: impl RangeBounds<usize>,
    count: usize,
) -> Result<Range<usize>> {
    let start = match rows.start_bound() {
        Bound::Included(&start) => Some(start),
        Bound::Excluded(&before) => before.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match rows.end_bound() {
        Bound::Included(&last) => last.checked_add(1),
        Bound::Excluded(&end) => Some(end),
        Bound::Unbounded => Some(count),
    };
    match start.zip(end) {
        Some((start, end)) if start <= end && end <= count => Ok(start..end),
        _ => {
            let text = |bound: Option<usize>| bound.map_or_else(String::new, |it| it.to_string());
            let found = format!("{}..{}", text(start), text(end));
            Err(Error::shape(op, format!("a range of the {count} rows, 0..{count}"), found))
        }
    }
}
