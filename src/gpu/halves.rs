//! Buffers of halves, two in a word. The last word may be shared, if a caller's buffer goes on behind an odd
//! number of halves.

use std::sync::Arc;

use super::buffer::Buffer;
use super::context::Context;
use super::kernel::{Kernel, Template};
use super::operand::{self, Window, duplicate, groups, window};
use super::operations::run;
use super::parameters::parameters;
use crate::dtype::DType;
use crate::error::Result;

/// The window of the elements of this type from `start` on; its base counts such elements, too.
pub(super) fn window_of(
    buffer: &Arc<Buffer>,
    dtype: DType,
    start: usize,
    elements: usize,
) -> Window<'_> {
    match dtype {
        DType::F32 => window(buffer, start, elements),
        DType::F16 | DType::BF16 => {
            let skipped = start % 2;
            let words = (skipped + elements).div_ceil(2);
            let Window { binding, base } = window(buffer, start / 2, words);
            Window { binding, base: 2 * base + skipped as u32 }
        }
    }
}

/// Whether the last word of this number of halves must not be written as a whole.
pub(super) fn shares_last_word(buffer: &Buffer, halves: usize) -> bool {
    buffer.is_bounded() && !halves.is_multiple_of(2)
}

parameters! {
    struct LastHalfParameters { input_base: u32, output_base: u32, }
}

/// Copies an odd number of halves. The half behind them stays as it is.
pub(super) fn copy_odd(
    context: &Arc<Context>,
    from: &Arc<Buffer>,
    to: &Arc<Buffer>,
    halves: usize,
) -> Result<()> {
    if !from.is_aligned() || !to.is_aligned() {
        // Kernels begin at the alignment: they see copies.
        let words = halves.div_ceil(2);
        let [from, copy] = [duplicate(context, from, words)?, duplicate(context, to, words)?];
        copy_odd(context, &from, &copy, halves)?;
        return operand::copy(context, &copy, to, (words * size_of::<u32>()) as u64);
    }
    context.check_shared(to)?;
    let whole = halves / 2;
    if whole > 0 {
        let bytes = (whole * size_of::<u32>()) as u64;
        context.record(|recorder| recorder.copy(from, to, bytes))?;
    }
    let (from, to) = (window(from, whole, 1), window(to, whole, 1));
    let parameters = LastHalfParameters { input_base: from.base, output_base: to.base };
    let kernel = Kernel::new(Template::LastHalf);
    run(context, &kernel, &[from.binding, to.binding], &parameters, groups(1))
}
