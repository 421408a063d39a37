//! The stage before painting: it finds the motion of each frame, and the cuts between scenes.

use crossbeam_channel::{Receiver, Sender};

use super::{Outcome, PipelineError, StageStats};
use crate::{
    frame::{Packet, Picture, ResetReason},
    stylize::{Along, MotionFinder, Pending, StylizeError, Stylizer, motion_finder},
    temporal::{
        flow::{FlowSettings, Found, Luma},
        scene_cut::SceneCuts,
    },
};

/// A packet with what was found out about it before painting.
pub(super) struct Guided {
    pub(super) packet: Packet,
    pub(super) guide: Option<Box<Guide>>,
    /// The painting, where it is still on its way.
    pub(super) pending: Option<Pending>,
}

impl From<Packet> for Guided {
    fn from(packet: Packet) -> Self {
        Self {
            packet,
            guide: None,
            pending: None,
        }
    }
}

/// What a frame was before it was painted.
pub(super) struct Guide {
    pub(super) original: Picture,
    pub(super) luma: Option<Luma>,
    /// The motion from the frame before to this one; none where another scene begins.
    pub(super) along: Along,
    /// The same for who needs it once more.
    pub(super) found: Option<Found>,
    /// How far the style is on its way to another.
    pub(super) change: Option<f32>,
    /// Whether its picture was not painted.
    pub(super) left_out: bool,
}

impl Guide {
    /// Keeps the picture that is to be painted, if nobody has.
    pub(super) fn keep(&mut self, picture: &Picture) {
        if self.along.is_on_card() {
            self.original = picture.clone();
        }
    }
}

/// What the stage `prepare` works with.
pub(super) struct Prepare {
    flow: Box<dyn MotionFinder>,
    cuts: SceneCuts,
    /// Whether the motion will be needed again.
    again: bool,
}

impl Prepare {
    /// Prepares for `stylizer`, which knows already whether it steadies; whether the motion will be needed `again`.
    pub(super) fn new(
        settings: FlowSettings,
        again: bool,
        stylizer: &mut dyn Stylizer,
    ) -> Result<Self, PipelineError> {
        Ok(Self {
            flow: motion_finder(stylizer, settings)?,
            cuts: SceneCuts::default(),
            again,
        })
    }

    fn reset(&mut self) {
        self.flow.reset();
        self.cuts.reset();
    }

    /// The guide of a picture, and whether another scene starts with it.
    fn guide(&mut self, picture: &Picture) -> Result<(Guide, bool), StylizeError> {
        let (mut along, luma) = self.flow.find(picture)?;
        let cut = self.cuts.push(picture, along.consistency());
        if cut {
            along.begin_scene();
        }
        let found = match self.again && along.continues() {
            true => self.flow.found()?,
            false => None,
        };
        // A picture on a card is kept by the stage that paints, which has less to do then.
        let original = match along.is_on_card() {
            true => Picture::black(0, 0),
            false => picture.clone(),
        };
        let guide = Guide {
            original,
            luma,
            along,
            found,
            change: None,
            left_out: false,
        };
        Ok((guide, cut))
    }
}

/// Finds the motion of each frame and the cuts between scenes.
pub(super) fn prepare(
    previous: Receiver<Guided>,
    mut core: Prepare,
    next: Sender<Guided>,
) -> Outcome<StageStats, PipelineError> {
    let mut stats = StageStats::default();
    for mut guided in &previous {
        let mut cut = false;
        match &guided.packet {
            Packet::Frame(frame) => match stats.time_frame(|| core.guide(&frame.picture)) {
                Ok((guide, starts)) => {
                    guided.guide = Some(Box::new(guide));
                    cut = starts;
                }
                Err(error) => return Outcome::Failed(error.into()),
            },
            Packet::Reset(_) => core.reset(),
            Packet::Track(_) | Packet::End => {}
        }
        let end = matches!(guided.packet, Packet::End);
        if cut
            && next
                .send(Packet::Reset(ResetReason::SceneCut).into())
                .is_err()
        {
            return Outcome::Disconnected;
        }
        if next.send(guided).is_err() {
            return Outcome::Disconnected;
        }
        if end {
            return Outcome::Finished(stats);
        }
    }
    Outcome::Disconnected
}
