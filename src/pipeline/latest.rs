//! The latest-value slot: the one place where a live pipeline drops frames.
//!
//! A camera does not wait, so nothing may queue behind it: a frame that was not taken yet is replaced by the newer one,
//! which is marked with what was lost. Marks and the end are sticky: they are never lost with a frame. [`Slot`] is the
//! whole logic, without a thread; [`latest`] wraps it in a lock for two threads.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::frame::ResetReason;

/// Holds the newest frame, and what must not be lost with those that it replaced.
#[derive(Debug)]
pub struct Slot<T> {
    newest: Option<Fresh<T>>,
    /// A mark for the next frame that is put in.
    pending: Option<ResetReason>,
    ended: bool,
    replaced: u64,
}

/// A frame out of a slot.
#[derive(Debug, PartialEq, Eq)]
pub struct Fresh<T> {
    /// The frame.
    pub frame: T,
    /// Frames between the one that was taken before and this one: they were replaced.
    pub missed: u64,
    /// Whether, and why, this frame does not continue the one that was taken before.
    pub reset: Option<ResetReason>,
}

/// What a look into a slot finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<T> {
    /// A frame that was not taken before.
    Frame(Fresh<T>),
    /// Nothing new.
    Nothing,
    /// The source ended, and its last frame was taken.
    End,
    /// The other side went away without saying that it ended.
    Disconnected,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            newest: None,
            pending: None,
            ended: false,
            replaced: 0,
        }
    }
}

impl<T> Slot<T> {
    /// Puts a frame in; one that still waits is replaced and counted.
    pub fn put(&mut self, frame: T) {
        let mut fresh = Fresh {
            frame,
            missed: 0,
            reset: self.pending.take(),
        };
        if let Some(old) = self.newest.take() {
            self.replaced += 1;
            fresh.missed = old.missed + 1;
            fresh.reset = fresh.reset.or(old.reset);
        }
        self.newest = Some(fresh);
    }

    /// Says that the frames to come do not continue those before.
    pub fn reset(&mut self, reason: ResetReason) {
        self.pending = Some(reason);
    }

    /// Says that no frame follows. The one that still waits can be taken.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Takes the newest frame, if it is new.
    pub fn take(&mut self) -> Taken<T> {
        match self.newest.take() {
            Some(fresh) => Taken::Frame(fresh),
            None if self.ended => Taken::End,
            None => Taken::Nothing,
        }
    }

    /// Frames that were replaced so far.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct State<T> {
    slot: Slot<T>,
    sender_gone: bool,
    receiver_gone: bool,
}

impl<T> Shared<T> {
    /// A panic of the other side leaves the slot whole: no call on it can stop half-way.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A slot between two threads.
pub fn latest<T>() -> (LatestSender<T>, LatestReceiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            slot: Slot::default(),
            sender_gone: false,
            receiver_gone: false,
        }),
        changed: Condvar::new(),
    });
    (LatestSender(shared.clone()), LatestReceiver(shared))
}

/// The side that puts frames in. Dropping it without [`LatestSender::end`] means that the stage died.
#[derive(Debug)]
pub struct LatestSender<T>(Arc<Shared<T>>);

/// The side that takes frames out.
#[derive(Debug)]
pub struct LatestReceiver<T>(Arc<Shared<T>>);

/// The receiver is gone; there is nobody to put frames in for.
#[derive(Debug, PartialEq, Eq)]
pub struct ReceiverGone;

impl<T> LatestSender<T> {
    /// Puts a frame in; never waits.
    ///
    /// # Errors
    /// [`ReceiverGone`].
    pub fn put(&self, frame: T) -> Result<(), ReceiverGone> {
        self.change(|slot| slot.put(frame))
    }

    /// As [`Slot::reset`].
    ///
    /// # Errors
    /// [`ReceiverGone`].
    pub fn reset(&self, reason: ResetReason) -> Result<(), ReceiverGone> {
        self.change(|slot| slot.reset(reason))
    }

    /// As [`Slot::end`].
    ///
    /// # Errors
    /// [`ReceiverGone`].
    pub fn end(&self) -> Result<(), ReceiverGone> {
        self.change(Slot::end)
    }

    fn change(&self, change: impl FnOnce(&mut Slot<T>)) -> Result<(), ReceiverGone> {
        let mut state = self.0.lock();
        if state.receiver_gone {
            return Err(ReceiverGone);
        }
        change(&mut state.slot);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<T> Drop for LatestSender<T> {
    fn drop(&mut self) {
        self.0.lock().sender_gone = true;
        self.0.changed.notify_one();
    }
}

impl<T> LatestReceiver<T> {
    /// Takes the newest frame, waiting for one up to `timeout`.
    pub fn take(&self, timeout: Duration) -> Taken<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.0.lock();
        loop {
            match state.slot.take() {
                Taken::Nothing if state.sender_gone => return Taken::Disconnected,
                Taken::Nothing => {}
                taken => return taken,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Nothing;
            }
            (state, _) = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Frames that were replaced so far.
    pub fn replaced(&self) -> u64 {
        self.0.lock().slot.replaced()
    }
}

impl<T> Drop for LatestReceiver<T> {
    fn drop(&mut self) {
        self.0.lock().receiver_gone = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: ResetReason = ResetReason::Discontinuity;

    fn fresh<T>(frame: T, missed: u64, reset: Option<ResetReason>) -> Taken<T> {
        Taken::Frame(Fresh {
            frame,
            missed,
            reset,
        })
    }

    #[test]
    fn the_newest_wins_and_knows_what_it_replaced() {
        let mut slot = Slot::default();
        assert_eq!(slot.take(), Taken::Nothing);
        slot.put(1);
        assert_eq!(slot.take(), fresh(1, 0, None));
        for frame in 2..=5 {
            slot.put(frame);
        }
        assert_eq!(slot.take(), fresh(5, 3, None));
        assert_eq!(slot.take(), Taken::Nothing);
        slot.put(6);
        assert_eq!(slot.take(), fresh(6, 0, None));
        assert_eq!(slot.replaced(), 3);
    }

    #[test]
    fn marks_stick_to_the_frames_behind_them() {
        let mut slot = Slot::default();
        slot.put(1);
        slot.reset(CUT);
        assert_eq!(slot.take(), fresh(1, 0, None), "it stood before the cut");
        slot.put(2);
        assert_eq!(slot.take(), fresh(2, 0, Some(CUT)));
        slot.reset(CUT);
        slot.put(3);
        slot.put(4);
        assert_eq!(
            slot.take(),
            fresh(4, 1, Some(CUT)),
            "the mark outlives frame 3"
        );
        slot.put(5);
        assert_eq!(slot.take(), fresh(5, 0, None));
    }

    #[test]
    fn the_last_frame_comes_before_the_end() {
        let mut slot = Slot::default();
        slot.put(1);
        slot.end();
        assert_eq!(slot.take(), fresh(1, 0, None));
        assert_eq!(slot.take(), Taken::End);
        assert_eq!(slot.take(), Taken::End);
    }

    #[test]
    fn end_and_death_are_told_apart_by_both_sides() {
        let (sender, receiver) = latest();
        sender.put(1).unwrap();
        drop(sender);
        assert_eq!(receiver.take(Duration::ZERO), fresh(1, 0, None));
        assert_eq!(receiver.take(Duration::from_secs(9)), Taken::Disconnected);

        let (sender, receiver) = latest::<u8>();
        sender.end().unwrap();
        drop(sender);
        assert_eq!(receiver.take(Duration::from_secs(9)), Taken::End);

        let (sender, receiver) = latest();
        drop(receiver);
        assert_eq!(sender.put(1), Err(ReceiverGone));
    }

    #[test]
    fn a_waiting_receiver_is_woken() {
        let (sender, receiver) = latest();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                sender.put(7).unwrap();
            });
            assert_eq!(receiver.take(Duration::from_secs(9)), fresh(7, 0, None));
        });
        assert_eq!(receiver.take(Duration::from_millis(1)), Taken::Disconnected);
    }
}
