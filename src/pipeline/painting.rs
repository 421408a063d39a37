//! The stage that paints, all pictures or some.
//!
//! Which pictures may be left out is seen from their motion; the stage behind makes their paintings of those before and behind. So a
//! scene's last picture is always painted, and one that may be left out is held back until another one has come.

use crossbeam_channel::{Receiver, Sender};

use super::{Control, Outcome, PipelineError, StageStats, preparing::Guided};
use crate::{
    frame::{Frame, Packet},
    stylize::{Along, StylizeError, Stylizer},
    temporal::{
        scene_cut::SceneCuts,
        steady::{LeavingOut, SteadyError},
    },
};

/// What the stage came to.
pub(super) struct Painted {
    pub(super) stats: StageStats,
    pub(super) stopped: bool,
    /// Frames that were not painted.
    pub(super) between: u64,
}

/// Pictures that are not painted.
pub(super) struct LeftOut {
    leaving: LeavingOut,
    /// A picture that is left out if another one follows it, with whatever came behind it.
    held: Vec<Guided>,
    /// Whether there is a painting that others could follow on.
    follows: bool,
    count: u64,
}

impl LeftOut {
    /// At most so many between two paintings.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(super) fn new(most: usize, threads: usize) -> Result<Self, SteadyError> {
        Ok(Self {
            leaving: LeavingOut::new(most, threads)?,
            held: Vec::new(),
            follows: false,
            count: 0,
        })
    }

    /// Looks at the picture that has come; whether the one that is held has to be painted after all.
    fn see(&mut self, guided: &Guided) -> bool {
        let guide = guided.guide.as_ref();
        let Some((guide, luma)) =
            guide.and_then(|guide| guide.luma.as_ref().map(|luma| (guide, luma)))
        else {
            return false;
        };
        let motion = guide.along.motion();
        self.leaving.see(luma, motion, guide.found.as_ref()) && !self.held.is_empty()
    }

    /// Whether the picture that was looked at need not be painted if another one follows it.
    fn may_leave_out(&mut self, guided: &Guided) -> bool {
        // A style that changes is to be seen in every picture.
        let guide = guided.guide.as_ref();
        let rests = guide.is_some_and(|guide| guide.change.is_none() && guide.found.is_some());
        self.leaving.may_leave_out(rests && self.follows)
    }

    /// The picture that is held, to be painted, with what came behind it.
    fn take_held(&mut self) -> Vec<Guided> {
        std::mem::take(&mut self.held)
    }

    /// Another picture follows: gives out what was held.
    fn release(&mut self) -> Vec<Guided> {
        if let Some(guide) = self.held.first_mut().and_then(|held| held.guide.as_mut()) {
            guide.left_out = true;
            self.count += 1;
        }
        self.take_held()
    }

    fn reset(&mut self) {
        self.leaving.reset();
        self.follows = false;
    }
}

/// What the stage works with.
struct Painter<'a> {
    stylizer: Box<dyn Stylizer>,
    time_base: f64,
    first: Option<i64>,
    cuts: SceneCuts,
    control: &'a Control,
}

impl Painter<'_> {
    /// Tells the time of a picture, and its guide how the style is changing then.
    fn tell(&mut self, guided: &mut Guided) -> Result<(), StylizeError> {
        let Packet::Frame(frame) = &guided.packet else {
            return Ok(());
        };
        let since = frame.pts - *self.first.get_or_insert(frame.pts);
        // Nobody before has looked for them.
        if guided.guide.is_none() && self.cuts.push(&frame.picture, None) {
            self.stylizer.reset();
        }
        if let Some(guide) = &mut guided.guide {
            guide.keep(&frame.picture);
        }
        self.stylizer.set_time(since as f64 * self.time_base)?;
        if let Some(guide) = &mut guided.guide {
            guide.change = self.stylizer.change();
        }
        Ok(())
    }

    fn paint(&mut self, guided: &mut Guided) -> Result<(), StylizeError> {
        let Packet::Frame(Frame { picture, .. }) = &mut guided.packet else {
            return Ok(());
        };
        let nothing = Along::nothing();
        let along = guided.guide.as_ref().map_or(&nothing, |guide| &guide.along);
        guided.pending = match self.stylizer.paint_along(picture, along)? {
            // No stage behind this one would wait for it.
            Some(pending) if guided.guide.is_none() => {
                pending(picture)?;
                None
            }
            painted => painted,
        };
        Ok(())
    }

    /// Paints and waits for the painting.
    fn paint_here(&mut self, guided: &mut Guided) -> Result<(), StylizeError> {
        self.paint(guided)?;
        match (&mut guided.packet, guided.pending.take()) {
            (Packet::Frame(frame), Some(pending)) => pending(&mut frame.picture),
            _ => Ok(()),
        }
    }

    fn reset(&mut self) {
        self.cuts.reset();
        self.stylizer.reset();
    }
}

/// Paints every frame, but for those that `left_out` leaves out.
pub(super) fn paint(
    previous: Receiver<Guided>,
    stylizer: Box<dyn Stylizer>,
    mut left_out: Option<LeftOut>,
    time_base: f64,
    next: Sender<Guided>,
    control: &Control,
) -> Outcome<Painted, PipelineError> {
    let mut painter = Painter {
        stylizer,
        time_base,
        first: None,
        cuts: SceneCuts::default(),
        control,
    };
    let mut stats = StageStats::default();
    let (mut frames, mut stopped) = (0_u64, false);
    for guided in &previous {
        let end = matches!(guided.packet, Packet::End);
        let done = match &guided.packet {
            // The film ends in front of the picture that was broken off.
            _ if stopped && !end => continue,
            Packet::Frame(_) => {
                frames += 1;
                stats.time_frame(|| frame(&mut painter, left_out.as_mut(), guided))
            }
            Packet::Reset(_) | Packet::End => stats.busy(|| {
                let mut done = Vec::new();
                if let Some(left_out) = &mut left_out {
                    done = scene_end(&mut painter, left_out)?;
                    left_out.reset();
                }
                if !end {
                    painter.reset();
                }
                done.push(guided);
                Ok(done)
            }),
            Packet::Track(_) => Ok(match &mut left_out {
                Some(left_out) if !left_out.held.is_empty() => {
                    left_out.held.push(guided);
                    Vec::new()
                }
                _ => vec![guided],
            }),
        };
        let done = match done {
            Ok(done) => done,
            Err(StylizeError::Stopped) => {
                frames -= 1;
                stopped = true;
                continue;
            }
            Err(error) => return Outcome::Failed(error.into()),
        };
        if end && frames == 0 && (stopped || control.is_stopping()) {
            return Outcome::Failed(PipelineError::NothingPainted);
        }
        for guided in done {
            if next.send(guided).is_err() {
                return Outcome::Disconnected;
            }
        }
        if end {
            let between = left_out.map_or(0, |left_out| left_out.count);
            return Outcome::Finished(Painted {
                stats,
                stopped,
                between,
            });
        }
    }
    Outcome::Disconnected
}

/// Paints a frame, or lets it wait; gives out what is done.
fn frame(
    painter: &mut Painter<'_>,
    left_out: Option<&mut LeftOut>,
    mut guided: Guided,
) -> Result<Vec<Guided>, StylizeError> {
    let on_card = guided
        .guide
        .as_ref()
        .is_some_and(|guide| guide.along.is_on_card());
    let Some(left_out) = left_out.filter(|_| !on_card) else {
        painter.tell(&mut guided)?;
        painter.paint(&mut guided)?;
        painter.control.count_painted();
        return Ok(vec![guided]);
    };
    let mut done = match left_out.see(&guided) {
        true => {
            let mut held = left_out.take_held();
            painter.paint_here(&mut held[0])?;
            held
        }
        false => left_out.release(),
    };
    painter.tell(&mut guided)?;
    if left_out.may_leave_out(&guided) {
        left_out.held.push(guided);
    } else {
        painter.paint_here(&mut guided)?;
        left_out.follows = true;
        done.push(guided);
    }
    painter.control.count_painted();
    Ok(done)
}

/// The picture that is held is a scene's last one, and painted after all; gives out what was held.
fn scene_end(
    painter: &mut Painter<'_>,
    left_out: &mut LeftOut,
) -> Result<Vec<Guided>, StylizeError> {
    if let Some(last) = left_out.held.first_mut() {
        painter.paint_here(last)?;
    }
    Ok(left_out.take_held())
}
