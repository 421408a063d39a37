//! A stylizer whose paintings are finished at once: for pictures, and for films that are not steadied.

use super::{Finish, StylizeError, Stylizer};
use crate::{frame::Picture, style::StyleMix};

/// Paints with another stylizer, then joins painting and original.
pub struct Finishing {
    inner: Box<dyn Stylizer>,
    finish: Finish,
    original: Vec<u8>,
}

impl Finishing {
    /// Finishes what `inner` paints.
    pub fn new(inner: Box<dyn Stylizer>, finish: Finish) -> Self {
        Self {
            inner,
            finish,
            original: Vec::new(),
        }
    }
}

impl Stylizer for Finishing {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        if self.finish.needs_original() {
            self.original.clear();
            self.original.extend_from_slice(picture.rgb());
        }
        self.inner.paint(picture)?;
        self.finish.apply(&self.original, picture);
        Ok(())
    }

    fn reset(&mut self) {
        self.inner.reset();
    }

    fn set_style(&mut self, style: &StyleMix) -> Result<(), StylizeError> {
        self.inner.set_style(style)
    }

    fn set_time(&mut self, seconds: f64) -> Result<(), StylizeError> {
        self.inner.set_time(seconds)
    }

    fn set_finish(&mut self, finish: Finish) {
        self.finish = finish;
        self.inner.set_finish(finish);
    }
}
