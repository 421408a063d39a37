//! A stylizer whose paintings are finished at once: for pictures, and for films that are not steadied.

use super::{Finish, Finisher, StylizeError, Stylizer};
use crate::{frame::Picture, style::StyleMix};

/// Paints with another stylizer, then joins painting and original.
pub struct Finishing {
    inner: Box<dyn Stylizer>,
    finisher: Finisher,
}

impl Finishing {
    /// Finishes what `inner` paints.
    pub fn new(inner: Box<dyn Stylizer>, finisher: Finisher) -> Self {
        Self { inner, finisher }
    }
}

impl Stylizer for Finishing {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let original = self.finisher.needs_original().then(|| picture.clone());
        self.inner.paint(picture)?;
        match original {
            Some(original) => self.finisher.apply(&original, picture),
            None => {
                self.finisher.finish.apply(&[], picture);
                Ok(())
            }
        }
    }

    fn reset(&mut self) {
        self.finisher.reset();
        self.inner.reset();
    }

    fn set_style(&mut self, style: &StyleMix) -> Result<(), StylizeError> {
        self.inner.set_style(style)
    }

    fn set_time(&mut self, seconds: f64) -> Result<(), StylizeError> {
        self.finisher.set_time(seconds);
        self.inner.set_time(seconds)
    }

    fn set_steadiness(&mut self, strength: f32) {
        self.inner.set_steadiness(strength);
    }

    fn set_finish(&mut self, finish: Finish) {
        self.finisher.finish = finish;
        self.inner.set_finish(finish);
    }
}
