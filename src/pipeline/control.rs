//! The one thing that reaches into a running pipeline from outside: ask it to stop, ask how far it is.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between the pipeline, the progress bar and the interrupt handler.
#[derive(Debug, Default)]
pub struct Control {
    stopping: AtomicBool,
    painted: AtomicU64,
}

impl Control {
    /// Asks the source to end now. What was painted so far is completed as if the source had ended.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether [`Control::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Frames that were painted so far.
    pub fn frames_painted(&self) -> u64 {
        self.painted.load(Ordering::Relaxed)
    }

    pub(super) fn count_painted(&self) {
        self.painted.fetch_add(1, Ordering::Relaxed);
    }
}
