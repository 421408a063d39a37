//! The two stages around painting that keep the film steady: one finds the motion, the other carries strokes along it. A
//! stylizer whose paintings lie on a card steadies them there; then the second stage only finishes and measures.
//!
//! Order of the steps: the *painting* is steadied, and only then are the original's colours kept and the original mixed
//! in (`--colors keep`, `--saturation`, `--opacity`). The original does not flicker, so averaging it over time could only smear it; and
//! steadied alone the painting is the same film at every opacity.

use crossbeam_channel::{Receiver, Sender};
use serde::Serialize;

use super::{Outcome, PipelineError, StageStats};
use crate::{
    frame::{Packet, Picture, ResetReason},
    stylize::{Finisher, Pending, StylizeError},
    temporal::{
        flow::{FlowEstimator, FlowSettings, Luma, Motion, SpareMotions},
        measure::Running,
        scene_cut::SceneCuts,
        steady::{Steady, SteadySettings},
    },
};

/// How the pipeline steadies.
#[derive(Debug)]
pub struct Steadying {
    /// How paintings are joined.
    pub settings: SteadySettings,
    /// How motion is found.
    pub flow: FlowSettings,
    /// What is done to the steady painting; the stylizer leaves it undone.
    pub finish: Finisher,
}

/// How steady a run was: see [`crate::temporal::measure`]. Sampled: every fourth pixel of every fourth row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Steadiness {
    /// Error of the result along the motion, 0..1.
    pub e_stab: f64,
    /// The same of the input: what noise and imperfect motion make of a film that is steady.
    pub e_stab_input: f64,
    /// Cuts between scenes.
    pub cuts: u64,
}

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
    original: Picture,
    luma: Luma,
    /// From the frame before to this one; none where another scene begins.
    pub(super) motion: Option<Motion>,
}

/// What the stage `prepare` works with.
pub(super) struct Prepare {
    flow: FlowEstimator,
    cuts: SceneCuts,
}

impl Prepare {
    pub(super) fn new(steadying: &Steadying) -> Self {
        Self {
            flow: FlowEstimator::new(steadying.flow).backward_only(),
            cuts: SceneCuts::default(),
        }
    }

    /// Where the stage that uses the motions gives them back.
    pub(super) fn spare(&self) -> SpareMotions {
        self.flow.spare()
    }

    fn reset(&mut self) {
        self.flow.reset();
        self.cuts.reset();
    }

    /// The guide of a picture, and whether another scene starts with it.
    fn guide(&mut self, picture: &Picture) -> (Guide, bool) {
        let luma = Luma::from_rgb(picture);
        let motion = self.flow.push(&luma);
        let cut = self.cuts.push(picture, motion.as_ref());
        let guide = Guide {
            original: picture.clone(),
            luma,
            motion: motion.filter(|_| !cut),
        };
        (guide, cut)
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
            Packet::Frame(frame) => {
                let (guide, starts) = stats.time_frame(|| core.guide(&frame.picture));
                guided.guide = Some(Box::new(guide));
                cut = starts;
            }
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

/// Waits for each painting that is on its way, steadies (without `core` that is done already) and finishes it, and measures how
/// steady the result is; motions go back to `spare`.
pub(super) fn steady(
    previous: Receiver<Guided>,
    mut core: Option<Steady>,
    mut finish: Finisher,
    spare: &SpareMotions,
    next: Sender<Guided>,
) -> Outcome<(StageStats, Option<Steadiness>), PipelineError> {
    let mut stats = StageStats::default();
    let mut measured = Running::default();
    let mut cuts = 0;
    for mut guided in &previous {
        let pending = guided.pending.take();
        match (&mut guided.packet, guided.guide.take()) {
            (Packet::Frame(frame), Some(guide)) => {
                let finished = stats.time_frame(|| {
                    let Guide {
                        original,
                        luma,
                        motion,
                    } = *guide;
                    if let Some(pending) = pending {
                        pending(&mut frame.picture)?;
                    }
                    if let Some(core) = &mut core {
                        let painting = std::mem::replace(&mut frame.picture, Picture::black(0, 0));
                        frame.picture = core.push(painting, &luma, motion.as_ref());
                    }
                    finish.apply(&original, &mut frame.picture)?;
                    measured.push(original, &frame.picture, motion.as_ref());
                    if let Some(motion) = motion {
                        spare.give(motion);
                    }
                    Ok::<_, StylizeError>(())
                });
                if let Err(error) = finished {
                    return Outcome::Failed(error.into());
                }
            }
            (Packet::Reset(reason), _) => {
                if let Some(core) = &mut core {
                    core.reset();
                }
                finish.reset();
                cuts += u64::from(*reason == ResetReason::SceneCut);
            }
            _ => {}
        }
        let end = matches!(guided.packet, Packet::End);
        if next.send(guided).is_err() {
            return Outcome::Disconnected;
        }
        if end {
            let steadiness = measured.result().map(|(input, output)| Steadiness {
                e_stab: output,
                e_stab_input: input,
                cuts,
            });
            return Outcome::Finished((stats, steadiness));
        }
    }
    Outcome::Disconnected
}
