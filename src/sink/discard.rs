//! The sink that keeps nothing, to measure everything before it.

use super::{FrameSink, SinkError};
use crate::{frame::Frame, media::TrackPacket};

/// Takes everything and keeps nothing.
#[derive(Debug, Default)]
pub struct Discard;

impl FrameSink for Discard {
    fn frame(&mut self, _frame: Frame) -> Result<(), SinkError> {
        Ok(())
    }

    fn track(&mut self, _packet: TrackPacket) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}
