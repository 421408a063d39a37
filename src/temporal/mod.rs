//! What joins a picture to the one before it.
//!
//! A film painted picture by picture shimmers. To keep a brush stroke where it is, one must know where each point of
//! the scene was in the picture before ([`flow`]) and where nothing can be known, because it was hidden; then the
//! strokes can be carried along and averaged without losing them ([`steady`]).

pub mod flow;
pub mod measure;
pub mod scene_cut;
pub mod steady;
pub(crate) mod warp;
