//! Along which motion the pictures of a film are painted, and who finds it.
//!
//! Motion is found where it is used. Where the processor steadies the paintings it finds the motion as well
//! ([`OnProcessor`]); a card that paints and steadies finds it from the picture that lies there anyway, and only what is known
//! of it comes to the processor.

use super::{StylizeError, Stylizer};
#[cfg(any(test, feature = "cuda"))]
use crate::cuda::{FlowOnCard, FrameOnCard, PaintCard};
use crate::{
    frame::Picture,
    temporal::{
        flow::{FlowEstimator, FlowSettings, Found, Luma, Motion, SpareMotions},
        measure::Tracks,
    },
};

/// The motion of a picture from the one before.
pub enum Along {
    /// In memory; none where another scene begins.
    Processor(Option<LentMotion>),
    /// On the card that paints, picture and motion.
    #[cfg(any(test, feature = "cuda"))]
    Card(FrameOnCard<PaintCard>),
}

impl Along {
    /// No motion: another scene begins.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Processor(None)
    }

    /// The motion, if there is one and it is in memory.
    #[must_use]
    pub fn motion(&self) -> Option<&Motion> {
        match self {
            Self::Processor(motion) => motion.as_ref().map(|lent| &lent.motion),
            #[cfg(any(test, feature = "cuda"))]
            Self::Card(_) => None,
        }
    }

    /// Whether there is a motion.
    #[must_use]
    pub fn continues(&self) -> bool {
        match self {
            Self::Processor(motion) => motion.is_some(),
            #[cfg(any(test, feature = "cuda"))]
            Self::Card(frame) => frame.continues(),
        }
    }

    /// Whether the picture is on the card that paints.
    #[must_use]
    pub fn is_on_card(&self) -> bool {
        !matches!(self, Self::Processor(_))
    }

    /// The share of pixels whose motion is consistent, 0..1, if there is a motion.
    #[must_use]
    pub fn consistency(&self) -> Option<f32> {
        match self {
            Self::Processor(_) => self.motion().map(Motion::consistency),
            #[cfg(any(test, feature = "cuda"))]
            Self::Card(frame) => frame.consistency(),
        }
    }

    /// Where some pixels were in the picture before, if there is a motion.
    #[must_use]
    pub fn tracks(&self) -> Option<Tracks> {
        match self {
            Self::Processor(_) => self.motion().map(Tracks::some),
            #[cfg(any(test, feature = "cuda"))]
            Self::Card(frame) => frame.tracks().cloned(),
        }
    }

    /// The picture does not continue the one before, after all.
    pub fn begin_scene(&mut self) {
        match self {
            Self::Processor(motion) => *motion = None,
            #[cfg(any(test, feature = "cuda"))]
            Self::Card(frame) => frame.begin_scene(),
        }
    }
}

/// A motion that gives its memory back.
pub struct LentMotion {
    motion: Motion,
    spare: SpareMotions,
}

impl Drop for LentMotion {
    fn drop(&mut self) {
        self.spare.give(std::mem::take(&mut self.motion));
    }
}

/// Finds the motion from picture to picture of a film.
pub trait MotionFinder: Send {
    /// Takes the next picture and finds its motion from the one before. The luma of the picture comes with it where it was
    /// needed.
    ///
    /// # Errors
    /// When the device fails.
    fn find(&mut self, picture: &Picture) -> Result<(Along, Option<Luma>), StylizeError>;

    /// What is behind the motion that was found last, for who needs it again; `None` when there was none.
    ///
    /// # Errors
    /// When the device fails.
    fn found(&self) -> Result<Option<Found>, StylizeError>;

    /// Forgets the picture before: the next one begins a new scene.
    fn reset(&mut self);
}

/// Who finds the motion of the film that `stylizer` paints.
///
/// # Errors
/// When the device refuses.
pub fn motion_finder(
    stylizer: &mut dyn Stylizer,
    settings: FlowSettings,
) -> Result<Box<dyn MotionFinder>, StylizeError> {
    Ok(match stylizer.motion_finder(settings)? {
        Some(finder) => finder,
        None => Box::new(OnProcessor(FlowEstimator::new(settings).backward_only())),
    })
}

/// The processor.
struct OnProcessor(FlowEstimator);

impl MotionFinder for OnProcessor {
    fn find(&mut self, picture: &Picture) -> Result<(Along, Option<Luma>), StylizeError> {
        let luma = Luma::from_rgb(picture);
        let lent = self.0.push(&luma).map(|motion| LentMotion {
            motion,
            spare: self.0.spare(),
        });
        Ok((Along::Processor(lent), Some(luma)))
    }

    fn found(&self) -> Result<Option<Found>, StylizeError> {
        Ok(self.0.found())
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(any(test, feature = "cuda"))]
impl MotionFinder for FlowOnCard<PaintCard> {
    fn find(&mut self, picture: &Picture) -> Result<(Along, Option<Luma>), StylizeError> {
        let frame = self.push(picture.rgb(), (picture.width(), picture.height()))?;
        Ok((Along::Card(frame), None))
    }

    fn found(&self) -> Result<Option<Found>, StylizeError> {
        Ok(FlowOnCard::found(self)?)
    }

    fn reset(&mut self) {
        FlowOnCard::reset(self);
    }
}
