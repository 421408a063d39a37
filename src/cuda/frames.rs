//! Pictures of a film on a card, each with the motion from the one before, for as long as anyone needs them.
//!
//! One thread brings a picture up and finds its motion while another has the picture before painted and steadied, so what
//! lies on the card travels with the picture and is written anew only when nobody holds it any more. Kernels run in the order
//! in which they were started: whoever has started the last one that reads it may let go.

use std::sync::Arc;

use super::{Card, CardError, bytes_of};
use crate::temporal::{
    flow::{Luma, Motion},
    measure::Tracks,
};

/// A picture of a film on a card.
pub struct FrameOnCard<C: Card> {
    size: (usize, usize),
    room: Arc<Room<C>>,
    /// Whether there is luma alone in place of RGB.
    grey: bool,
    /// Whether there is a motion, and what is known of it.
    moved: bool,
    known: Option<Known>,
}

/// What the processor knows of a motion on the card.
pub(super) struct Known {
    /// Share of the pixels whose motion is consistent, 0..1.
    pub(super) consistency: f32,
    /// Where some pixels were in the picture before.
    pub(super) tracks: Tracks,
}

/// What a picture of one size takes.
pub(super) struct Room<C: Card> {
    size: (usize, usize),
    /// RGB.
    pub(super) picture: C::Memory,
    /// Motion to the picture before, in pixels, and whether both directions agree, per pixel.
    pub(super) u: C::Memory,
    pub(super) v: C::Memory,
    pub(super) consistent: C::Memory,
}

impl<C: Card> FrameOnCard<C> {
    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// Whether there is a motion from the picture before.
    #[must_use]
    pub fn continues(&self) -> bool {
        self.moved
    }

    /// The share of pixels whose motion from the picture before is consistent, 0..1, if there is a motion.
    #[must_use]
    pub fn consistency(&self) -> Option<f32> {
        self.known.as_ref().map(|known| known.consistency)
    }

    /// Where some pixels were in the picture before, if there is a motion.
    #[must_use]
    pub fn tracks(&self) -> Option<&Tracks> {
        self.known.as_ref().map(|known| &known.tracks)
    }

    /// The picture does not continue the one before.
    pub fn begin_scene(&mut self) {
        (self.moved, self.known) = (false, None);
    }

    pub(super) fn is_grey(&self) -> bool {
        self.grey
    }

    pub(super) fn room(&self) -> &Room<C> {
        &self.room
    }

    /// There is a motion, of which nothing or something is known.
    pub(super) fn set_motion(&mut self, known: Option<Known>) {
        (self.moved, self.known) = (true, known);
    }
}

/// Brings pictures to a card.
pub(super) struct Frames<C: Card> {
    card: C,
    /// Those of the present size, in use or not.
    rooms: Vec<Arc<Room<C>>>,
}

impl<C: Card> Frames<C> {
    pub(super) fn new(card: C) -> Self {
        Self {
            card,
            rooms: Vec::new(),
        }
    }

    /// An RGB picture, and the motion from the picture before it if that is known.
    pub(super) fn bring(
        &mut self,
        rgb: &[u8],
        size: (usize, usize),
        motion: Option<&Motion>,
    ) -> Result<FrameOnCard<C>, CardError> {
        assert_eq!(rgb.len(), 3 * size.0 * size.1);
        let motion =
            motion.filter(|motion| (motion.backward.width, motion.backward.height) == size);
        let mut frame = self.fill(size, |card, room| {
            card.upload(rgb, &mut room.picture)?;
            if let Some(motion) = motion {
                card.upload(bytes_of(&motion.backward.u), &mut room.u)?;
                card.upload(bytes_of(&motion.backward.v), &mut room.v)?;
                card.upload(&motion.consistent, &mut room.consistent)?;
            }
            Ok(())
        })?;
        if let Some(motion) = motion {
            frame.set_motion(Some(Known {
                consistency: motion.consistency(),
                tracks: Tracks::some(motion),
            }));
        }
        Ok(frame)
    }

    /// The luma of a picture that is not painted.
    pub(super) fn bring_luma(&mut self, luma: &Luma) -> Result<FrameOnCard<C>, CardError> {
        let mut frame = self.fill((luma.width, luma.height), |card, room| {
            card.upload(&luma.pixels, &mut room.picture)
        })?;
        frame.grey = true;
        Ok(frame)
    }

    /// A frame in memory that nobody holds.
    fn fill(
        &mut self,
        size: (usize, usize),
        fill: impl FnOnce(&C, &mut Room<C>) -> Result<(), CardError>,
    ) -> Result<FrameOnCard<C>, CardError> {
        self.rooms.retain(|room| room.size == size);
        let idle = (self.rooms.iter_mut()).position(|room| Arc::get_mut(room).is_some());
        let mut room = match idle {
            Some(idle) => self.rooms.swap_remove(idle),
            None => Arc::new(Room::new(&self.card, size)?),
        };
        if let Some(own) = Arc::get_mut(&mut room) {
            fill(&self.card, own)?;
        }
        self.rooms.push(Arc::clone(&room));
        Ok(FrameOnCard {
            size,
            room,
            grey: false,
            moved: false,
            known: None,
        })
    }
}

impl<C: Card> Room<C> {
    fn new(card: &C, size: (usize, usize)) -> Result<Self, CardError> {
        let pixels = size.0 * size.1;
        Ok(Self {
            size,
            picture: card.reserve(3 * pixels)?,
            u: card.reserve(4 * pixels)?,
            v: card.reserve(4 * pixels)?,
            consistent: card.reserve(pixels)?,
        })
    }
}
