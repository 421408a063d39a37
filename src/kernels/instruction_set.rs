//! Which vector instructions this processor has, and how a kernel is entered with them switched on.

use super::simd::{Simd, portable::Portable};
use std::fmt;

/// A family of vector instructions that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// Whatever the compilation target guarantees (SSE2 on x86-64).
    Portable,
    /// Every 64-bit Arm processor's vectors.
    Neon,
    /// AVX2 with FMA and F16C (Intel since 2013, AMD since 2015).
    Avx2,
    /// AVX-512 F, BW, DQ and VL (Intel servers since 2017, AMD since 2022).
    Avx512,
    /// AVX-512 with BF16 and VNNI dot products (Intel servers since 2023, AMD since 2022).
    Avx512Dot,
    /// The same with the bf16 matrix unit AMX (Intel servers since 2023, where the operating system allows it).
    Amx,
}

impl InstructionSet {
    /// Every set, slowest first.
    pub const ALL: [Self; 6] = [
        Self::Portable,
        Self::Neon,
        Self::Avx2,
        Self::Avx512,
        Self::Avx512Dot,
        Self::Amx,
    ];

    /// The fastest set of this processor.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL
            .into_iter()
            .rev()
            .find(|set| set.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Whether this processor has the set.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Dot => {
                Self::Avx512.is_available()
                    && is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Self::Avx512Dot.is_available() && super::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// Whether the set's bf16 products outrun its `f32` ones: AMD multiplies twice as many of them, Intel's vector unit
    /// (not its matrix unit) half as many.
    pub(crate) fn prefers_bf16(self) -> bool {
        match self {
            Self::Amx => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Dot => {
                let vendor = std::arch::x86_64::__cpuid(0);
                let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
                name.as_flattened() == b"AuthenticAMD"
            }
            _ => false,
        }
    }

    /// Runs a kernel compiled for this set.
    ///
    /// # Safety
    /// The processor must have the set ([`InstructionSet::is_available`]).
    #[inline]
    pub(crate) unsafe fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            // SAFETY: the portable path needs nothing.
            Self::Portable => unsafe { kernel.run::<Portable>() },
            // SAFETY: NEON belongs to the architecture, so no function with features of its own is entered.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { kernel.run::<super::simd::neon::Neon>() },
            // SAFETY: the caller has checked the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { run_avx2(kernel) },
            // SAFETY: the caller has checked the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { run_avx512(kernel) },
            // SAFETY: the caller has checked the features.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Dot | Self::Amx => unsafe { run_avx512_dot(kernel) },
            _ => unreachable!("not available on this architecture"),
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Neon => "NEON",
            Self::Avx2 => "AVX2 with FMA",
            Self::Avx512 => "AVX-512",
            Self::Avx512Dot => "AVX-512 with BF16 and VNNI",
            Self::Amx => "AMX",
        })
    }
}

/// A piece of work written once against [`Simd`]; its `run` must be `#[inline(always)]`.
pub(crate) trait Kernel {
    /// What the work returns.
    type Output;
    /// Does the work.
    ///
    /// # Safety
    /// The processor has the instruction set of `S`.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,avx2,fma,f16c")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function is entered only where these features exist.
    unsafe { kernel.run::<super::simd::avx2::Avx2>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function is entered only where these features exist.
    unsafe { kernel.run::<super::simd::avx512::Avx512<false>>() }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni"
)]
fn run_avx512_dot<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: this function is entered only where these features exist.
    unsafe { kernel.run::<super::simd::avx512::Avx512<true>>() }
}
