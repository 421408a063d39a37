//! Runs a source, a stylizer and a sink to the end, or to the first cause of failure.

use std::{
    io,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    Control, Outcome, StageStats, StageSummary,
    painting::{LeftOut, paint},
    preparing::{Guided, Prepare, prepare},
    stage::{self},
    steadying::{Steadier, Steadiness, Steadying, steady},
};
use crate::{
    frame::Packet,
    sink::{FrameSink, SinkError},
    source::{FrameSource, SourceError},
    stylize::{StylizeError, Stylizer},
    temporal::steady::{SteadyError, given_out},
};

/// Packets that wait between two stages at most. Enough to even out an encoder that takes frames in bursts, few enough
/// that a 4K frame (25 MB) in every place stays far below a decoder's own buffers.
pub const LINK_CAPACITY: usize = 3;

/// Bytes of the frames that wait for the encoder where further passes give out many at once.
const GIVEN_OUT_BYTES: usize = 128 << 20;

/// The same where frames travel with their motion and original, four times their own size.
const GUIDED_LINK_CAPACITY: usize = 1;

/// Why a run failed: the one cause, of whichever stage.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The stylizer failed.
    #[error(transparent)]
    Stylize(#[from] StylizeError),
    /// The sink failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// Steadying could not start.
    #[error(transparent)]
    Steady(#[from] SteadyError),
    /// It was stopped too early for an output.
    #[error("stopped before the first picture was painted")]
    NothingPainted,
    /// A stage panicked.
    #[error("internal error in stage {stage}: {message} (please report this)")]
    Panicked {
        /// Name of the stage.
        stage: &'static str,
        /// What the panic said.
        message: String,
    },
    /// The system gave no thread.
    #[error("the system gives no thread for stage {stage}")]
    Thread {
        /// Name of the stage.
        stage: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A stage left without its work done and no other stage says why: an error in this program.
    #[error("internal error: stage {0} was cut off without a cause (please report this)")]
    CutOff(&'static str),
}

/// What a run that reached its end has to say.
#[derive(Clone, Debug)]
pub struct Report {
    /// Frames written.
    pub frames: u64,
    /// How long it took.
    pub wall: Duration,
    /// Times of each stage, in the order of the data.
    pub stages: Vec<(&'static str, StageSummary)>,
    /// What the user should know, in full sentences.
    pub notes: Vec<String>,
    /// Whether the run was stopped before the source's end.
    pub stopped: bool,
    /// Frames that were not painted, but have the strokes of those before and behind.
    pub between: u64,
    /// How steady the result is, when it was steadied and that was measured.
    pub steadiness: Option<Steadiness>,
}

const DECODE: &str = "decode";
const PREPARE: &str = "prepare";
const PAINT: &str = "paint";
const STEADY: &str = "steady";
const ENCODE: &str = "encode";

/// Runs all of `source` through `stylizer` into `sink`, until its end or until `control` asks to stop; every frame is
/// painted on its own.
///
/// # Errors
/// The cause of the failure of whichever stage is most to blame. The sink is then dropped unfinished.
pub fn run<Source, Sink>(
    source: Source,
    stylizer: Box<dyn Stylizer>,
    sink: Sink,
    control: &Control,
) -> Result<Report, PipelineError>
where
    Source: FrameSource,
    Sink: FrameSink,
{
    run_steady(source, stylizer, None, sink, control)
}

/// As [`run`], with the paintings steadied along the motion; without `steadying` those stages do not exist.
///
/// # Errors
/// As [`run`]; also when steadying cannot start.
pub fn run_steady<Source, Sink>(
    source: Source,
    mut stylizer: Box<dyn Stylizer>,
    steadying: Option<Steadying>,
    sink: Sink,
    control: &Control,
) -> Result<Report, PipelineError>
where
    Source: FrameSource,
    Sink: FrameSink,
{
    let started = Instant::now();
    let time_base = source.info().time_base.value();
    let (to_paint, from_decode) = bounded(LINK_CAPACITY);
    // What further passes give out at once must not keep them from going on.
    let given_out = match &steadying {
        Some(steadying) if steadying.passes > 1 => {
            given_out((source.info().width, source.info().height)) * (1 + steadying.left_out)
        }
        _ => 0,
    };
    let fits = GIVEN_OUT_BYTES / (3 * source.info().width * source.info().height).max(1);
    let (to_encode, from_paint) = bounded(LINK_CAPACITY.max(given_out.min(fits)));
    let (mut before_paint, mut behind_paint, mut left_out) = (None, None, None);
    let (mut from_prepare, mut to_steady) = (from_decode, to_encode);
    if let Some(steadying) = steadying {
        let (sender, receiver) = bounded(GUIDED_LINK_CAPACITY);
        let from_decode = std::mem::replace(&mut from_prepare, receiver);
        let (settings, stylizer) = (steadying.flow, &mut *stylizer);
        let again = steadying.passes > 1 || steadying.left_out > 0;
        if steadying.left_out > 0 {
            left_out = Some(LeftOut::new(steadying.left_out, settings.threads)?);
        }
        let steadier = Steadier::new(steadying, stylizer, time_base)?;
        let core = Prepare::new(settings, again, stylizer)?;
        before_paint = Some((from_decode, core, sender));
        let (sender, receiver) = bounded(GUIDED_LINK_CAPACITY);
        let to_encode = std::mem::replace(&mut to_steady, sender);
        behind_paint = Some((receiver, steadier, to_encode));
    }
    let (decoded, prepared, painted, steadied, encoded) = std::thread::scope(|scope| {
        // Closures own the channel ends, so a thread that could not be started closes them as one that failed does.
        let decode = stage::spawn(scope, DECODE, move || decode(source, to_paint, control));
        let prepare = before_paint.map(|(previous, core, next)| {
            stage::spawn(scope, PREPARE, move || prepare(previous, core, next))
        });
        let paint = stage::spawn(scope, PAINT, move || {
            paint(
                from_prepare,
                stylizer,
                left_out,
                time_base,
                to_steady,
                control,
            )
        });
        let steady = behind_paint.map(|(previous, core, next)| {
            stage::spawn(scope, STEADY, move || steady(previous, core, next))
        });
        let encode = stage::spawn(scope, ENCODE, move || encode(from_paint, sink));
        (
            join(DECODE, decode),
            prepare.map(|stage| join(PREPARE, stage)),
            join(PAINT, paint),
            steady.map(|stage| join(STEADY, stage)),
            join(ENCODE, encode),
        )
    });

    let (mut outcomes, mut stages) = (Vec::new(), Vec::new());
    let wall = started.elapsed();
    let decoded = keep(DECODE, decoded?, &mut outcomes);
    let prepared =
        prepared.map(|stage| Ok::<_, PipelineError>(keep(PREPARE, stage?, &mut outcomes)));
    let painted = keep(PAINT, painted?, &mut outcomes);
    let steadied =
        steadied.map(|stage| Ok::<_, PipelineError>(keep(STEADY, stage?, &mut outcomes)));
    let encoded = keep(ENCODE, encoded?, &mut outcomes);
    let (prepared, steadied) = (
        prepared.transpose()?.flatten(),
        steadied.transpose()?.flatten(),
    );
    let (Some(decoded), Some(painted), Some(encoded), true) = (
        decoded,
        painted,
        encoded,
        outcomes.iter().all(|(_, outcome)| outcome.rank() == 0),
    ) else {
        return Err(cause(outcomes));
    };
    let mut stage = |name, stats: &StageStats| stages.push((name, stats.summary(wall)));
    stage(DECODE, &decoded.stats);
    if let Some(stats) = &prepared {
        stage(PREPARE, stats);
    }
    stage(PAINT, &painted.stats);
    if let Some((stats, _)) = &steadied {
        stage(STEADY, stats);
    }
    stage(ENCODE, &encoded.stats);
    Ok(Report {
        frames: encoded.frames,
        wall,
        stages,
        notes: [decoded.notes, encoded.notes].concat(),
        stopped: decoded.stopped || painted.stopped,
        between: painted.between,
        steadiness: steadied.and_then(|(_, steadiness)| steadiness),
    })
}

/// Notes what a stage came to and returns what it made, if it finished.
fn keep<T>(
    stage: &'static str,
    outcome: Outcome<T, PipelineError>,
    outcomes: &mut Vec<(&'static str, Outcome<(), PipelineError>)>,
) -> Option<T> {
    let (outcome, result) = match outcome {
        Outcome::Finished(result) => (Outcome::Finished(()), Some(result)),
        Outcome::Disconnected => (Outcome::Disconnected, None),
        Outcome::Failed(error) => (Outcome::Failed(error), None),
        Outcome::Panicked(message) => (Outcome::Panicked(message), None),
    };
    outcomes.push((stage, outcome));
    result
}

/// The error of the stage that is most to blame; of equals the first, since what follows is a consequence.
fn cause(outcomes: Vec<(&'static str, Outcome<(), PipelineError>)>) -> PipelineError {
    let (stage, outcome) = outcomes
        .into_iter()
        .reduce(|worst, next| {
            if next.1.rank() > worst.1.rank() {
                next
            } else {
                worst
            }
        })
        .expect("there are stages");
    match outcome {
        Outcome::Panicked(message) => PipelineError::Panicked { stage, message },
        Outcome::Failed(error) => error,
        Outcome::Disconnected | Outcome::Finished(()) => PipelineError::CutOff(stage),
    }
}

fn join<T>(
    stage: &'static str,
    handle: io::Result<std::thread::ScopedJoinHandle<'_, Outcome<T, PipelineError>>>,
) -> Result<Outcome<T, PipelineError>, PipelineError> {
    let handle = handle.map_err(|source| PipelineError::Thread { stage, source })?;
    // The stage catches its own panics; one that still comes through is reported the same way.
    Ok(handle
        .join()
        .unwrap_or_else(|_| Outcome::Panicked("the thread died".into())))
}

struct Decoded {
    stats: StageStats,
    notes: Vec<String>,
    stopped: bool,
}

fn decode<S: FrameSource>(
    mut source: S,
    next: Sender<Guided>,
    control: &Control,
) -> Outcome<Decoded, PipelineError> {
    let mut stats = StageStats::default();
    let mut stopped = false;
    loop {
        let started = Instant::now();
        let packet = if control.is_stopping() {
            stopped = true;
            Packet::End
        } else {
            match source.next() {
                Ok(packet) => packet,
                Err(error) => return Outcome::Failed(error.into()),
            }
        };
        if matches!(packet, Packet::Frame(_)) {
            stats.frame(started.elapsed());
        }
        let end = matches!(packet, Packet::End);
        if next.send(packet.into()).is_err() {
            return Outcome::Disconnected;
        }
        if end {
            return Outcome::Finished(Decoded {
                stats,
                notes: source.notes(),
                stopped,
            });
        }
    }
}

struct Encoded {
    stats: StageStats,
    notes: Vec<String>,
    frames: u64,
}

fn encode<S: FrameSink>(
    previous: Receiver<Guided>,
    mut sink: S,
) -> Outcome<Encoded, PipelineError> {
    let mut stats = StageStats::default();
    let mut frames = 0;
    for guided in &previous {
        let result = match guided.packet {
            Packet::Frame(frame) => {
                let result = stats.time_frame(|| sink.frame(frame));
                frames += 1;
                result
            }
            Packet::Track(packet) => stats.busy(|| sink.track(packet)),
            Packet::Reset(_) => Ok(()),
            Packet::End => {
                return match stats.busy(|| sink.finish()) {
                    Ok(()) => Outcome::Finished(Encoded {
                        stats,
                        notes: sink.notes(),
                        frames,
                    }),
                    Err(error) => Outcome::Failed(error.into()),
                };
            }
        };
        if let Err(error) = result {
            return Outcome::Failed(error.into());
        }
    }
    Outcome::Disconnected
}
