//! A stage: one named thread, and what became of it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{Builder, Scope, ScopedJoinHandle},
    time::Instant,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

/// What a stage came to. The order is the order of blame: of several stages that stopped, the greatest is the cause.
#[derive(Debug)]
pub enum Outcome<T, E> {
    /// The stage did all its work.
    Finished(T),
    /// A neighbour went away first; that neighbour knows why.
    Disconnected,
    /// The stage could not go on.
    Failed(E),
    /// The stage panicked: an error in this program.
    Panicked(String),
}

impl<T, E> Outcome<T, E> {
    /// Greater is more to blame.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Finished(_) => 0,
            Self::Disconnected => 1,
            Self::Failed(_) => 2,
            Self::Panicked(_) => 3,
        }
    }
}

/// Starts `work` as a thread called `name`; a panic in it becomes [`Outcome::Panicked`].
///
/// # Errors
/// When the system gives no thread.
pub fn spawn<'scope, T: Send + 'scope, E: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &'static str,
    work: impl FnOnce() -> Outcome<T, E> + Send + 'scope,
) -> std::io::Result<ScopedJoinHandle<'scope, Outcome<T, E>>> {
    Builder::new()
        .name(name.into())
        .spawn_scoped(scope, move || {
            // The work owns all it touches, so nothing half-changed is seen after a panic.
            catch_unwind(AssertUnwindSafe(work))
                .unwrap_or_else(|panic| Outcome::Panicked(panic_text(&*panic)))
        })
}

/// A stage that may hang in a device for ever, and must not take the program with it: it can be waited for with a limit
/// and left behind.
#[derive(Debug)]
pub struct FreeStage<T, E> {
    outcome: Receiver<Outcome<T, E>>,
}

impl<T, E> FreeStage<T, E> {
    /// What it came to; `None` when it has not ended by `deadline`. It is asked once.
    pub fn wait(self, deadline: Instant) -> Option<Outcome<T, E>> {
        match self.outcome.recv_deadline(deadline) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Outcome::Panicked("the thread died".into()))
            }
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        !self.outcome.is_empty()
    }
}

/// Starts `work` as a thread called `name` that nothing waits for unless asked to.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn_free<T: Send + 'static, E: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> Outcome<T, E> + Send + 'static,
) -> std::io::Result<FreeStage<T, E>> {
    let (sender, outcome) = bounded(1);
    Builder::new().name(name.into()).spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(work))
            .unwrap_or_else(|panic| Outcome::Panicked(panic_text(&*panic)));
        // Nobody may be waiting any more.
        let _ = sender.send(outcome);
    })?;
    Ok(FreeStage { outcome })
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
