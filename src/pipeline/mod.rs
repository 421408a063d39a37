//! The pipeline: stages that are threads, joined by bounded channels.
//!
//! ```text
//! decode ──► prepare ──► paint ──► steady ──► encode
//! ```
//!
//! `prepare` and `steady` exist only when the paintings are steadied. The motion between a frame and the one before is
//! found *before* painting, in the input, and travels with the frame: so `prepare` works on the next frame while
//! `paint` is busy with this one, and nothing ever flows backwards.
//!
//! A stage takes its receiver and its sender by value, so leaving the stage closes both and is the whole shut-down
//! protocol: the stages around it see a closed channel and leave too. A closed channel without
//! [`Packet::End`](crate::frame::Packet::End) means that the stage before died; only `End` completes the output.
//! Every thread is named and joined, what each came to is ranked (panicked before failed before cut off), and the one
//! cause is reported. The channels hold [`LINK_CAPACITY`] packets, so a fast decoder waits for a slow painter and
//! memory stays flat however long the clip is.
//!
//! A live session ([`live`]) has the same shape, but its links never wait: right after capture a [`Slot`] keeps only the
//! newest frame.

mod control;
mod latest;
pub mod live;
mod painting;
mod preparing;
mod run;
mod stage;
mod stats;
mod steadying;

pub use control::Control;
pub use latest::{Fresh, LatestReceiver, LatestSender, ReceiverGone, Slot, Taken, latest};
pub use run::{LINK_CAPACITY, PipelineError, Report, run, run_steady};
pub use stage::Outcome;
pub use stats::{StageStats, StageSummary};
pub use steadying::{Steadiness, Steadying};
