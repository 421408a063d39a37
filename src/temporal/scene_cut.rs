//! Where a film cuts to another scene.
use super::flow::{Luma, Motion};
use crate::frame::Picture;

/// Finds cuts.
#[derive(Debug, Default)]
pub struct SceneCuts {}

impl SceneCuts {
    /// Whether `picture` starts another scene.
    pub fn push(&mut self, _picture: &Picture, _luma: &Luma, motion: Option<&Motion>) -> bool {
        motion.is_some_and(|motion| motion.consistency() < 0.3)
    }

    /// Forgets the picture before.
    pub fn reset(&mut self) {}
}
