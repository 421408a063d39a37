//! The networks of both engines on an NVIDIA card, and steadying, by kernels of our own.
//!
//! `kernels/painting.cu` paints with the feed-forward networks, `kernels/loss.cu` runs the loss network of the optimization
//! engine forward and backward and `kernels/vectors.cu` its optimiser, `kernels/flow.cu` and `kernels/refine.cu` find the motion
//! of a film, `kernels/steady.cu` and `kernels/octaves.cu` steady its paintings. `build.rs` compiles them to machine code of
//! the usual cards, and to PTX that the driver finishes for others, so that a program with the feature `cuda` needs nothing
//! but the driver at run time, and starts without one. A [`Card`] runs them: the driver's (`Device`), or, in tests, the same
//! source compiled for the processor (`emulator`).

mod again;
mod check;
#[cfg(feature = "cuda")]
mod copies;
#[cfg(feature = "cuda")]
mod device;
#[cfg(test)]
pub(crate) mod emulated;
mod flow;
mod frames;
mod loss;
mod network;
mod parameters;
mod steady;
#[cfg(test)]
mod tests;
mod vectors;
mod weights;

pub use crate::device::check::{BOUNDS, compare};
pub use again::PassOnCard;
pub use check::paints_alike;
#[cfg(feature = "cuda")]
pub use device::Device;
pub use flow::FlowOnCard;
pub use frames::FrameOnCard;
pub use loss::{CardTerm, LossOnCard, PixelLosses};
pub use network::TransformOnCard;
pub use parameters::Parameters;
pub use steady::SteadyOnCard;
pub use vectors::CardSpace;

use crate::{kernels::KernelError, temporal::steady::SteadyError};

/// Why a card did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// There is no driver.
    #[error("no NVIDIA driver was found (libcuda.so.1): install the driver of the card")]
    NoDriver,
    /// The driver has no such card.
    #[error("there is no CUDA device {wanted}: the driver knows {found}")]
    NoDevice {
        /// Its number.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The card is too old.
    #[error(
        "{name} has compute capability {major}.{minor}; 8.0 (the RTX 30 series, A100) or newer is needed"
    )]
    TooOld {
        /// The card's name.
        name: String,
        /// Compute capability.
        major: i32,
        /// Compute capability.
        minor: i32,
    },
    /// The driver refused.
    #[error("the CUDA driver refused to {what}: {why}")]
    Driver {
        /// What was to be done.
        what: String,
        /// What the driver says.
        why: String,
    },
    /// It makes something else than the processor.
    #[error(
        "its {what} differs from the processor's by {mean:.2} of 255 in the mean and {largest} at most: it is not used"
    )]
    Differs {
        /// What it made.
        what: &'static str,
        /// Mean difference.
        mean: f64,
        /// Largest difference.
        largest: u8,
    },
    /// It finds other motion than the processor.
    #[error(
        "its motion differs from the processor's by {pixels:.2} pixels in the mean, and in {:.0} % of the pixels in whether it is consistent: it is not used", 100.0 * share
    )]
    Moves {
        /// Mean difference.
        pixels: f64,
        /// Share of the pixels whose consistency differs.
        share: f64,
    },
    /// The network or the style does not fit.
    #[error(transparent)]
    Network(#[from] KernelError),
    /// There is nothing to compare its steadying with.
    #[error(transparent)]
    Steady(#[from] SteadyError),
}

/// One kernel over a grid of blocks.
#[derive(Debug, Clone)]
pub struct Launch {
    /// What it does, for tables of times.
    pub name: String,
    /// Its name in the source.
    pub kernel: &'static str,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of shared memory of a block.
    pub shared: u32,
    /// Its only argument.
    pub parameters: Parameters,
    /// Multiply-adds of the layer, without padding.
    pub multiply_adds: u64,
    /// Bytes that it must read and write at least.
    pub bytes: u64,
}

/// The card that paints.
#[cfg(feature = "cuda")]
pub type PaintCard = std::sync::Arc<Device>;
/// The card that paints: in tests of a program without NVIDIA's driver the emulated one.
#[cfg(all(test, not(feature = "cuda")))]
pub type PaintCard = emulated::EmulatedCard;

/// Something that runs the kernels.
pub trait Card {
    /// Bytes on the card, aligned to 256.
    type Memory: Send + Sync;

    /// Bytes on their way from it.
    type Fetch: Fetch;

    /// Takes so many bytes; what is in them is not said.
    ///
    /// # Errors
    /// When the card has no more.
    fn reserve(&self, bytes: usize) -> Result<Self::Memory, CardError>;

    /// Where they lie, as the kernels take it.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// How many bytes there are at least.
    fn size(&self, memory: &Self::Memory) -> usize;

    /// Copies `bytes` to the beginning of `memory`, as what is launched from now on sees it.
    ///
    /// # Errors
    /// When the driver fails.
    fn upload(&self, bytes: &[u8], memory: &mut Self::Memory) -> Result<(), CardError>;

    /// Starts to copy the first `bytes` of `memory`, as what was launched before leaves them; what is launched after does not
    /// have to wait.
    ///
    /// # Errors
    /// When the driver refuses.
    fn fetch(&self, memory: &Self::Memory, bytes: usize) -> Result<Self::Fetch, CardError>;

    /// Copies the beginning of `memory` to `bytes`, when all that was launched before is done.
    ///
    /// # Errors
    /// When the driver, or a kernel before, fails.
    fn download(&self, memory: &Self::Memory, bytes: &mut [u8]) -> Result<(), CardError> {
        self.fetch(memory, bytes.len())?.take(bytes)
    }

    /// Starts a kernel behind what was started before.
    ///
    /// # Safety
    /// The addresses in its parameters must belong to memory of this card that is as large as the kernel takes it and
    /// lives until the kernel is done, or is given back to the card behind it.
    ///
    /// # Errors
    /// When the driver refuses.
    unsafe fn launch(&self, launch: &Launch) -> Result<(), CardError>;
}

/// Bytes on their way from a card.
pub trait Fetch: Send + 'static {
    /// Waits for them and puts them into `bytes`, which has room for as many as were asked for.
    ///
    /// # Errors
    /// When a kernel before them, or the driver, fails.
    fn take(self, bytes: &mut [u8]) -> Result<(), CardError>;
}

/// The bytes of numbers.
fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: every byte of a plain number is initialised, and bytes have no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Numbers without padding.
trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for half::f16 {}
impl Plain for [f32; 8] {}
