//! Conversion between f16 and f32: by the `half` crate, and with AVX-512 in a quarter of its time.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Converts halves to the same number of f32 values.
pub(in crate::cpu) fn widen(halves: &[f16], output: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if let pulp::Arch::V4(simd) = pulp::Arch::new() {
        return simd.vectorize(avx512::Widen { simd, halves, output });
    }
    halves.convert_to_f32_slice(output);
}

/// Converts f32 values to the same number of halves, rounding to the nearest, ties to even.
pub(super) fn narrow(numbers: &[f32], output: &mut [f16]) {
    #[cfg(target_arch = "x86_64")]
    if let pulp::Arch::V4(simd) = pulp::Arch::new() {
        return simd.vectorize(avx512::Narrow { simd, numbers, output });
    }
    output.convert_from_f32_slice(numbers);
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{__m256i, __m512};

    use half::f16;
    use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
    use pulp::x86::V4;
    use pulp::{NullaryFnOnce, cast};

    const LANES: usize = 16;

    /// Rounds to the nearest, ties to even.
    const NEAREST: i32 = 0;

    pub(super) struct Widen<'a> {
        pub(super) simd: V4,
        pub(super) halves: &'a [f16],
        pub(super) output: &'a mut [f32],
    }

    impl NullaryFnOnce for Widen<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let (halves, halves_left) = self.halves.reinterpret_cast().as_chunks::<LANES>();
            let (output, output_left) = self.output.as_chunks_mut::<LANES>();
            for (halves, output) in halves.iter().zip(output) {
                let halves: __m256i = cast(*halves);
                *output = cast(self.simd.avx512f._mm512_cvtph_ps(halves));
            }
            halves_left.reinterpret_cast::<f16>().convert_to_f32_slice(output_left);
        }
    }

    pub(super) struct Narrow<'a> {
        pub(super) simd: V4,
        pub(super) numbers: &'a [f32],
        pub(super) output: &'a mut [f16],
    }

    impl NullaryFnOnce for Narrow<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            let (numbers, numbers_left) = self.numbers.as_chunks::<LANES>();
            let (output, output_left) = self.output.reinterpret_cast_mut().as_chunks_mut::<LANES>();
            for (numbers, output) in numbers.iter().zip(output) {
                let numbers: __m512 = cast(*numbers);
                *output = cast(self.simd.avx512f._mm512_cvtps_ph::<NEAREST>(numbers));
            }
            output_left.reinterpret_cast_mut::<f16>().convert_from_f32_slice(numbers_left);
        }
    }
}
