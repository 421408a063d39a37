//! Training networks of our own, on the processor.
//!
//! A *student* is a network several times cheaper than the one of 26 styles, and learns to paint what that one (its
//! *teacher*) paints: pieces of photos are painted by the teacher, and the student's weights follow the gradient of the
//! difference (Hinton et al. 2015 call this distillation). Later on each piece is seen twice, as two frames of a film would show it,
//! and both times the target is the painting of the undisturbed piece, moved along: what flickers in the teacher's painting
//! is no part of the target, and the two paintings are held together besides.
//!
//! A student that begins with its teacher's blocks and end learns the planes between them first, and then how its paintings
//! look ([`Start`], `distil::strokes`): texture of the same kind and amount, and two views of the same thing alike.
//!
//! A network that was trained on many styles takes a new one from a painting, as numbers of its normalisations only:
//! [`StyleTraining`].
//!
//! [`Distillation`] makes steps, [`Checkpoint`] is its state in a file. A step needs nothing but the state and its own
//! number, so a training that was interrupted goes on exactly where it was.

mod adam;
mod checkpoint;
mod distil;
mod frozen;
mod loss;
mod measured;
mod network;
mod normalise;
mod overlap;
mod painting;
mod photos;
mod plan;
mod random;
mod resample;
mod start;
#[cfg(test)]
mod tests;

pub use adam::State;
pub use checkpoint::{Checkpoint, TrainError, replace_file};
pub use distil::{Distillation, Judgement, Report, Settings, Teacher};
pub use frozen::{FrozenNetwork, FrozenTape};
pub use loss::{Comparison, OCTAVES, Terms, Weights};
pub use measured::{Painters, SPEED_SIZE, Speed, measure_flicker, measure_speed};
pub use network::{BLOCK, Convolutions, Layer, Shape, Tape};
pub use painting::{MODEL_SIDE, NearestStyle, StyleReport, StyleSettings, StyleTraining};
pub use photos::{LONGEST_SIDE, Photos};
pub use plan::Plan;
pub use start::Start;
