//! The stylizer that changes nothing, to measure and test everything around painting.

use super::{StylizeError, Stylizer};
use crate::frame::Picture;

/// Leaves every picture as it is.
#[derive(Debug, Default)]
pub struct Passthrough;

impl Stylizer for Passthrough {
    fn paint(&mut self, _picture: &mut Picture) -> Result<(), StylizeError> {
        Ok(())
    }
}
