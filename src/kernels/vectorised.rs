//! Plain Rust loops, compiled again for wider vectors.
//!
//! The loops of image processing (filter a row, blend two rows) need no hand-written vectors: the compiler makes them,
//! if it may assume the instructions. [`vectorised!`] compiles a function for the compilation target, for AVX2 with FMA
//! and for AVX-512, and enters the widest that the processor has.

/// Defines functions without a result whose loops the compiler may vectorise with AVX-512 or AVX2 where the processor has it.
///
/// Every function they call must be `#[inline(always)]`, or it is compiled without the instructions.
macro_rules! vectorised {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        #[allow(clippy::too_many_arguments)]
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn plain($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments)]
            fn wide($($argument: $type),*) {
                plain($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
            #[allow(clippy::too_many_arguments)]
            fn widest($($argument: $type),*) {
                plain($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            if $crate::kernels::InstructionSet::Avx512.is_available() {
                // SAFETY: the processor has these features.
                return unsafe { widest($($argument),*) };
            }
            #[cfg(target_arch = "x86_64")]
            if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
                // SAFETY: the processor has both features.
                return unsafe { wide($($argument),*) };
            }
            plain($($argument),*)
        }
    )*};
}
pub(crate) use vectorised;
