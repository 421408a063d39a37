//! Painting: a [`Stylizer`] turns a picture into a painting of it.

mod along;
mod border;
mod brush;
mod feed_forward;
mod finish;
mod finishing;
mod mask_film;
mod oklab;
mod palette;
mod passthrough;
mod region;
mod schedule;
mod upscale;

pub mod optimize;

pub use along::{Along, LentMotion, MotionFinder, motion_finder};
pub(crate) use border::Border;
pub use brush::{BRUSHES, Brush};
pub use feed_forward::{FeedForward, FeedForwardSettings};
pub use finish::{Colors, Finish, InvalidFinish, UnknownColors};
pub use finishing::Finishing;
pub use oklab::LabMap;
pub use palette::Palette;
pub use passthrough::Passthrough;
pub use region::{Finisher, MaskError, MaskSource, Region, TwoStyles};
pub use schedule::{FADE_SECONDS, Schedule};
pub use upscale::upscale;

use crate::{
    frame::Picture,
    style::StyleMix,
    temporal::{
        flow::FlowSettings,
        steady::{Pass, SteadySettings},
    },
};

/// Puts a painting that is still on its way from where it was painted in the place of its picture, waiting for it if need be.
pub type Pending = Box<dyn FnOnce(&mut Picture) -> Result<(), StylizeError> + Send>;

/// Paints pictures, one after the other. What it remembers from one to the next (if anything) is dropped by `reset`.
pub trait Stylizer: Send {
    /// Paints `picture` in place; its size stays.
    ///
    /// # Errors
    /// When the picture cannot be painted (too small, the device is out of memory).
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError>;

    /// As [`Stylizer::paint`], the next picture of a film, along its motion from the one before, without which another scene
    /// begins. Only who steadies its own paintings ([`Stylizer::steady`]) looks at it. A painting that can be
    /// waited for elsewhere, while the next one is painted, is handed out as what fetches it.
    ///
    /// # Errors
    /// As [`Stylizer::paint`].
    fn paint_along(
        &mut self,
        picture: &mut Picture,
        _along: &Along,
    ) -> Result<Option<Pending>, StylizeError> {
        self.paint(picture)?;
        Ok(None)
    }

    /// Asks for paintings that are steady already when [`Stylizer::paint_along`] hands them out, or with `None` for paintings
    /// as they are. Whether they will be: where paintings lie on a card, they are steadied there; else it is for others to do.
    ///
    /// # Errors
    /// When the device has no memory left.
    fn steady(&mut self, _settings: Option<SteadySettings>) -> Result<bool, StylizeError> {
        Ok(false)
    }

    /// Who finds the motion that this stylizer steadies its paintings along, where that is done on its device; else the processor
    /// does.
    ///
    /// # Errors
    /// When the device refuses.
    fn motion_finder(
        &mut self,
        _settings: FlowSettings,
    ) -> Result<Option<Box<dyn MotionFinder>>, StylizeError> {
        Ok(None)
    }

    /// What goes once more over paintings that this stylizer has steadied ([`Stylizer::steady`]), along motion found with the settings
    /// `flow`, where that is done on its device; else the processor does.
    ///
    /// # Errors
    /// When the device refuses.
    fn further_pass(
        &mut self,
        _steadying: SteadySettings,
        _flow: FlowSettings,
    ) -> Result<Option<Box<dyn Pass>>, StylizeError> {
        Ok(None)
    }

    /// The next picture does not continue the last one.
    fn reset(&mut self) {}

    /// Changes the style of the pictures that follow. A stylizer without styles ignores it.
    ///
    /// # Errors
    /// When the style does not fit the network, or the device fails.
    fn set_style(&mut self, _style: &StyleMix) -> Result<(), StylizeError> {
        Ok(())
    }

    /// Says when the next picture is shown, in seconds from the start of the film. A stylizer whose style does not change
    /// over time ignores it.
    ///
    /// # Errors
    /// As [`Stylizer::set_style`].
    fn set_time(&mut self, _seconds: f64) -> Result<(), StylizeError> {
        Ok(())
    }

    /// How far the style of the next painting is on its way to another, 0..1; none where it rests. Who steadies paintings lets go of
    /// the old strokes meanwhile ([`SteadySettings::while_changing`]).
    fn change(&self) -> Option<f32> {
        None
    }

    /// Says how firmly paintings are held to the ones before (0: not at all, 1: as the stylizer was set up), to a stylizer
    /// that does so by itself. Others ignore it.
    fn set_steadiness(&mut self, _strength: f32) {}

    /// Changes what is done to the paintings that follow. A stylizer that does nothing to them ignores it.
    fn set_finish(&mut self, _finish: Finish) {}
}

/// Why a picture could not be painted.
#[derive(Debug, thiserror::Error)]
pub enum StylizeError {
    /// A side is under what the network can take.
    #[error(
        "a picture of {width}x{height} is too small to paint: both sides need {MIN_SIDE} pixels or more (use --size)"
    )]
    TooSmall {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// The network failed on its device.
    #[error("the network failed on this device")]
    Device(#[from] candle_core::Error),
    /// The mask's film failed.
    #[error("the mask cannot be read any further")]
    Mask(#[from] crate::source::SourceError),
    /// A network's file is missing or damaged.
    #[error(transparent)]
    Model(#[from] crate::models::ModelError),
    /// A painting could not be kept for --resume.
    #[error(transparent)]
    Keep(#[from] crate::picture_file::PictureError),
    /// The painting was broken off before it was complete, as was asked for.
    #[error("the painting was broken off")]
    Stopped,
    /// A film that was painted before is another one now.
    #[error("the film changed while it was painted")]
    OtherFilm,
    /// Steadying refused.
    #[error(transparent)]
    Steady(#[from] crate::temporal::steady::SteadyError),
    /// The card refused.
    #[cfg(any(test, feature = "cuda"))]
    #[error("the network failed on the card")]
    Card(#[from] crate::cuda::CardError),
    /// The GPU refused.
    #[cfg(feature = "gpu")]
    #[error("the network failed on the GPU")]
    Gpu(#[from] crate::gpu::GpuError),
    /// The processor's kernels refused.
    #[error("the network failed on the processor")]
    Kernel(#[from] crate::kernels::KernelError),
}

/// The smallest side that the networks paint, in pixels: at a quarter of the size, reflection needs pixels to reflect.
pub const MIN_SIDE: usize = 32;

/// Pixels that are painted at most: 8K UHD, for which the network takes some 4 GiB.
pub const MAX_PIXELS: usize = 7680 * 4320;
