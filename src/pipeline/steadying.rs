//! The stage behind painting, which carries strokes along the motion: it keeps the film steady, and makes the paintings of pictures
//! that were left out. A stylizer whose paintings lie on a card steadies them there; then this stage only finishes and measures.
//!
//! Order of the steps: the *painting* is steadied, and only then are the original's colours kept and the original mixed
//! in (`--colors keep`, `--saturation`, `--opacity`). The original does not flicker, so averaging it over time could only smear it; and
//! steadied alone the painting is the same film at every opacity.

use std::{collections::VecDeque, time::Instant};

use crossbeam_channel::{Receiver, Sender};
use serde::Serialize;

use super::{
    Outcome, PipelineError, StageStats,
    preparing::{Guide, Guided},
};
use crate::{
    frame::{Frame, Packet, Picture, ResetReason},
    stylize::{Border, Finisher, Pending, StylizeError, Stylizer},
    temporal::{
        flow::{FlowSettings, Found, Luma},
        measure::{Running, Tracks},
        steady::{
            Between, FurtherPasses, Pass, PassOnProcessor, Steady, SteadySettings, Unpainted,
        },
    },
};

/// How the pipeline steadies.
#[derive(Debug)]
pub struct Steadying {
    /// How paintings are joined.
    pub settings: SteadySettings,
    /// How motion is found.
    pub flow: FlowSettings,
    /// How often the film is gone through, 1 to [`MOST_PASSES`](crate::temporal::steady::MOST_PASSES).
    pub passes: usize,
    /// Pictures between two paintings that are not painted, at most ([`Between`]); not
    /// where paintings lie on a card.
    pub left_out: usize,
    /// What is done to the steady painting; the stylizer leaves it undone.
    pub finish: Finisher,
    /// Whether the run says how steady it was, which takes some 2 % of its time.
    pub measured: bool,
}

/// How steady a run was: see [`crate::temporal::measure`]. Sampled: some 14,400 pixels of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Steadiness {
    /// Error of the result along the motion, 0..1.
    pub e_stab: f64,
    /// The same of the input: what noise and imperfect motion make of a film that is steady.
    pub e_stab_input: f64,
    /// Cuts between scenes.
    pub cuts: u64,
}

/// What a painting waits with until it is steady.
struct Held {
    /// Without its picture.
    frame: Frame,
    /// Where the finish needs it.
    original: Option<Picture>,
    border: Option<Border>,
    tracks: Option<Tracks>,
    /// Pictures before it that were not painted.
    between: Option<Box<Unmade>>,
}

/// Pictures without a painting that wait for the one behind them.
struct Unmade {
    waiting: Vec<Waiting>,
    /// Luma of the painting's picture, and the motion between the last one that waits and that.
    luma: Luma,
    found: Option<Found>,
}

/// A picture without a painting.
struct Waiting {
    held: Held,
    luma: Luma,
    /// Motion between the picture before and this one.
    found: Found,
}

/// What the stage `steady` works with.
pub(super) struct Steadier {
    /// Nothing where the stylizer steadies.
    steady: Option<Steady>,
    further: Option<FurtherPasses<Held>>,
    /// Where pictures are left out.
    between: Option<Between>,
    /// Those left out since the last painting.
    waiting: Vec<Waiting>,
    /// Whether something was left alone around the last painting that came, and what was around the last that was given out.
    bordered: bool,
    border: Option<Border>,
    /// Steady paintings that are to be given out, and before them those that are made of the next one.
    done: VecDeque<(Picture, Held)>,
    made: VecDeque<(Picture, Held)>,
    settings: SteadySettings,
    finish: Finisher,
    /// Seconds of a time stamp's unit, and the film's first time stamp.
    time_base: f64,
    first: Option<i64>,
    /// Of the input and of the result, where that is wanted.
    measured: Option<[Running; 2]>,
    cuts: u64,
}

impl Steadier {
    /// Steadies what `stylizer` paints, if that does not do it itself.
    pub(super) fn new(
        steadying: Steadying,
        stylizer: &mut dyn Stylizer,
        time_base: f64,
    ) -> Result<Self, PipelineError> {
        let Steadying {
            settings,
            flow,
            passes,
            left_out,
            finish,
            measured,
        } = steadying;
        let steady = match stylizer.steady(Some(settings))? {
            true => None,
            false => Some(Steady::new(settings)?),
        };
        let mut pass = || -> Result<Box<dyn Pass>, PipelineError> {
            Ok(match stylizer.further_pass(settings, flow)? {
                Some(pass) => pass,
                None => Box::new(PassOnProcessor::new(settings, flow)?),
            })
        };
        let further = (passes > 1).then(|| FurtherPasses::new(passes, &mut pass));
        let between = (left_out > 0).then(|| Between::new(flow));
        Ok(Self {
            steady,
            further: further.transpose()?,
            between: between.transpose()?,
            waiting: Vec::new(),
            bordered: false,
            border: None,
            done: VecDeque::new(),
            made: VecDeque::new(),
            settings,
            finish,
            time_base,
            first: None,
            measured: measured.then(Default::default),
            cuts: 0,
        })
    }

    /// Takes the next painting, waiting for it where it is still on its way.
    fn push(
        &mut self,
        mut frame: Frame,
        guide: Guide,
        pending: Option<Pending>,
    ) -> Result<(), StylizeError> {
        let Guide {
            original,
            luma,
            along,
            found,
            change,
            left_out,
        } = guide;
        let settings = self.settings;
        let settings = change.map_or(settings, |change| settings.while_changing(change));
        let settings = settings.over(1 + self.waiting.len());
        // While the painting is still on its way.
        let needed = self.steady.is_some() || self.further.is_some();
        let luma = luma.or_else(|| needed.then(|| Luma::from_rgb(&original)));
        let tracks = self.measured.as_ref().and_then(|_| along.tracks());
        // A painting that is on its way still is one that has no bars around it.
        let border = match &pending {
            None if !left_out => Border::of(&original, &frame.picture),
            _ => None,
        };
        if !left_out {
            self.bordered = border.is_some();
        }
        // What was left alone around a painting is left alone around the pictures that follow on it.
        let wanted = self.finish.needs_original() || left_out && self.bordered;
        let original = match &mut self.measured {
            Some([input, _]) if wanted => {
                input.push(&original, tracks.as_ref());
                Some(original)
            }
            Some([input, _]) => {
                input.push_owned(original, tracks.as_ref());
                None
            }
            None => wanted.then_some(original),
        };
        if let Some(pending) = pending {
            pending(&mut frame.picture)?;
        }
        let mut held = Held {
            frame,
            original,
            border,
            tracks,
            between: None,
        };
        let painting = std::mem::replace(&mut held.frame.picture, Picture::black(0, 0));
        if let (true, Some(luma), Some(found)) = (left_out, &luma, &found) {
            let (luma, found) = (luma.clone(), found.clone());
            self.waiting.push(Waiting { held, luma, found });
            return Ok(());
        }
        let joined = found.as_ref().and_then(|found| self.joined(found));
        let motion = joined.as_ref().zip(self.between.as_mut());
        let motion = motion.map(|(found, between)| between.motion(found));
        let steadied = match (&mut self.steady, &luma) {
            (Some(steady), Some(luma)) => {
                steady.set(settings);
                steady.push(painting, luma, motion.as_ref().or_else(|| along.motion()))
            }
            _ => painting,
        };
        drop(along);
        if let (Some(between), Some(luma)) = (&mut self.between, &luma) {
            motion
                .into_iter()
                .for_each(|motion| between.recycle(motion));
            held.between = Some(Box::new(Unmade {
                waiting: std::mem::take(&mut self.waiting),
                luma: luma.clone(),
                found: found.clone(),
            }));
        }
        let found = joined.or(found);
        match (&mut self.further, luma) {
            (Some(further), Some(luma)) => {
                let done = further.push(steadied, luma, found, settings, held)?;
                self.done.extend(done);
            }
            _ => self.done.push_back((steadied, held)),
        }
        Ok(())
    }

    /// The motion over the pictures that wait, and on to the next one along `found`; none where none wait.
    fn joined(&self, found: &Found) -> Option<Found> {
        let founds = self.waiting.iter().map(|waiting| &waiting.found);
        let before = founds.fold(None, |before: Option<Found>, found| {
            Some(before.map_or_else(|| found.clone(), |before| before.join(found)))
        });
        before.map(|before| before.join(found))
    }

    /// The scene ends: all that is left of it is done.
    fn end_scene(&mut self) -> Result<(), StylizeError> {
        if let Some(further) = &mut self.further {
            self.done.extend(further.finish()?);
        }
        Ok(())
    }

    /// The next frame that is done; one after the other, for many are done at once and each takes memory only now.
    fn take(&mut self) -> Result<Option<Frame>, StylizeError> {
        if self.made.is_empty()
            && let Some((picture, mut held)) = self.done.pop_front()
        {
            if let Some(unmade) = held.between.take() {
                let made = self.make(&picture, *unmade);
                self.made.extend(made);
                self.border.clone_from(&held.border);
            }
            self.made.push_back((picture, held));
        }
        let next = self.made.pop_front();
        next.map(|(picture, held)| self.finished(picture, held))
            .transpose()
    }

    /// The paintings of pictures that were left out before this `painting`.
    fn make(&mut self, painting: &Picture, unmade: Unmade) -> Vec<(Picture, Held)> {
        let Unmade {
            mut waiting,
            luma,
            found,
        } = unmade;
        for Waiting { held, .. } in &mut waiting {
            held.frame.picture = Picture::black(painting.width(), painting.height());
        }
        let unpainted = waiting.iter_mut();
        let unpainted = unpainted.map(|Waiting { held, luma, found }| Unpainted {
            luma,
            found,
            picture: &mut held.frame.picture,
        });
        let mut unpainted: Vec<_> = unpainted.collect();
        if let Some(between) = &mut self.between {
            between.painted(painting, luma, &mut unpainted, found.as_ref());
        }
        let made = waiting.into_iter().map(|Waiting { mut held, .. }| {
            let mut picture = std::mem::replace(&mut held.frame.picture, Picture::black(0, 0));
            if let (Some(border), Some(original)) = (&self.border, &held.original) {
                border.copy(original, &mut picture);
            }
            (picture, held)
        });
        made.collect()
    }

    /// What else is done to a steady painting.
    fn finished(&mut self, mut picture: Picture, held: Held) -> Result<Frame, StylizeError> {
        if let Some(border) = &held.border {
            border.put(&mut picture);
        }
        let original = held.original.unwrap_or_else(|| Picture::black(0, 0));
        let since = held.frame.pts - *self.first.get_or_insert(held.frame.pts);
        self.finish.set_time(since as f64 * self.time_base);
        self.finish.apply(&original, &mut picture)?;
        if let Some([_, output]) = &mut self.measured {
            output.push(&picture, held.tracks.as_ref());
        }
        let mut frame = held.frame;
        frame.picture = picture;
        Ok(frame)
    }

    fn reset(&mut self, reason: ResetReason) {
        if let Some(steady) = &mut self.steady {
            steady.reset();
        }
        if let Some(between) = &mut self.between {
            between.reset();
        }
        self.finish.reset();
        self.cuts += u64::from(reason == ResetReason::SceneCut);
    }

    fn steadiness(&self) -> Option<Steadiness> {
        let [input, output] = self.measured.as_ref()?;
        Some(Steadiness {
            e_stab: output.result()?,
            e_stab_input: input.result()?,
            cuts: self.cuts,
        })
    }
}

/// Steadies and finishes the paintings, and measures how steady the result is.
pub(super) fn steady(
    previous: Receiver<Guided>,
    mut core: Steadier,
    next: Sender<Guided>,
) -> Outcome<(StageStats, Option<Steadiness>), PipelineError> {
    let mut stats = StageStats::default();
    for guided in &previous {
        let Guided {
            packet,
            guide,
            pending,
        } = guided;
        let started = Instant::now();
        let (result, packet) = match (packet, guide) {
            (Packet::Frame(frame), Some(guide)) => (core.push(frame, *guide, pending), None),
            (packet @ (Packet::Reset(_) | Packet::End), _) => (core.end_scene(), Some(packet)),
            (packet, _) => (Ok(()), Some(packet)),
        };
        if let Err(error) = result {
            return Outcome::Failed(error.into());
        }
        // Without what it waits for the next stage.
        let mut worked = started.elapsed();
        loop {
            let started = Instant::now();
            let frame = match core.take() {
                Ok(frame) => frame,
                Err(error) => return Outcome::Failed(error.into()),
            };
            worked += started.elapsed();
            let Some(frame) = frame else {
                break;
            };
            if next.send(Packet::Frame(frame).into()).is_err() {
                return Outcome::Disconnected;
            }
        }
        let Some(packet) = packet else {
            stats.frame(worked);
            continue;
        };
        stats.spend(worked);
        let end = matches!(packet, Packet::End);
        if let Packet::Reset(reason) = packet {
            core.reset(reason);
        }
        if next.send(packet.into()).is_err() {
            return Outcome::Disconnected;
        }
        if end {
            return Outcome::Finished((stats, core.steadiness()));
        }
    }
    Outcome::Disconnected
}
