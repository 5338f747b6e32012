//! The arguments of a sweep.

/// The floats of a sweep: all 2^32, or one of each `stride` neighbours.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    stride: u32,
}

const ALL: u64 = 1 << 32;

/// The number of ends: the first and the last float of each sign and exponent.
const ENDS: u64 = 1024;

impl Walk {
    pub fn new(stride: u32) -> Self {
        Self { stride: stride.max(1) }
    }

    /// The number of arguments.
    pub fn len(self) -> u64 {
        let blocks = ALL.div_ceil(self.stride.into());
        if self.stride == 1 { blocks } else { blocks + ENDS }
    }

    /// The bits of the i-th argument. It comes from block i of neighbours, at a place that changes from block to
    /// block so that all low bits occur. The ends of the binades follow, with infinities and NaN among them.
    fn bits(self, i: u64) -> u32 {
        let stride = u64::from(self.stride);
        let blocks = ALL.div_ceil(stride);
        if i < blocks {
            let start = i * stride;
            // Fibonacci hashing: 32 well mixed bits, as a fraction of the stride.
            let mixed = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let place = (mixed * stride) >> 32;
            return (start + place).min(ALL - 1) as u32;
        }
        let end = (i - blocks) as u32;
        let fraction = if end.is_multiple_of(2) { 0 } else { 0x007f_ffff };
        (end / 2) << 23 | fraction
    }

    /// The arguments from number `start` on, at most `count`.
    pub fn values(self, start: u64, count: usize) -> Vec<f32> {
        let end = (start + count as u64).min(self.len());
        (start..end).map(|i| f32::from_bits(self.bits(i))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_of_one_is_every_float() {
        let walk = Walk::new(1);
        assert_eq!(walk.len(), ALL);
        for i in [0, 1, 12_345, ALL - 1] {
            assert_eq!(u64::from(walk.bits(i)), i);
        }
    }

    #[test]
    fn any_stride_covers_each_binade_to_its_ends_and_all_low_bits() {
        for stride in [4096, 100_003, 1 << 20, u32::MAX] {
            let walk = Walk::new(stride);
            let mut ends = [[false; 2]; 512];
            let mut low_bits = [false; 2];
            for i in 0..walk.len() {
                let bits = walk.bits(i);
                low_bits[(bits & 1) as usize] = true;
                let fraction = bits & 0x007f_ffff;
                ends[(bits >> 23) as usize][0] |= fraction == 0;
                ends[(bits >> 23) as usize][1] |= fraction == 0x007f_ffff;
            }
            assert!(ends.as_flattened().iter().all(|seen| *seen), "stride {stride}");
            assert_eq!(low_bits, [true; 2], "stride {stride}");
            assert!(walk.values(walk.len() - 3, 100).len() == 3);
        }
        // Blocks neither overlap nor leave gaps of more than two strides.
        let walk = Walk::new(1000);
        let bits: Vec<u32> = (0..100_000).map(|i| walk.bits(i)).collect();
        assert!(bits.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] < 2000));
    }
}
