//! The threads of a live session: capture, paint, microphone, virtual camera; that of a recording is in `record`.
//!
//! None of them is ever waited for without a limit, because each may hang in a device.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError};

use super::{LiveConfig, LiveError, Notice, record::fitted, silence::Silence};
use crate::{
    frame::ResetReason,
    live::{LivePainter, Painting, Size, Wanted, with_causes},
    pipeline::{LatestReceiver, LatestSender, Outcome, StageStats, Taken},
    sink::VirtualCamera,
    source::{CameraError, CameraOpener, Captured, CapturedSound, Microphone},
};

/// How long a stage waits at most before it looks whether it should end.
const TICK: Duration = Duration::from_millis(50);
/// How long to wait before a camera that went away is tried again.
const RETRY: Duration = Duration::from_millis(300);

/// What all threads of a session see.
pub(super) struct Shared {
    /// Nothing more is to be captured.
    pub(super) stopping: AtomicBool,
    /// Frames that the camera gave so far, repeated ones too: it is alive as long as this grows.
    pub(super) given: AtomicU64,
    /// Frames captured so far.
    pub(super) captured: AtomicU64,
    /// Frames handed to painting so far, repeated ones too.
    pub(super) handed: AtomicU64,
    /// Frames dropped right after capture so far.
    pub(super) dropped: AtomicU64,
    /// Frames painted so far.
    pub(super) painted: AtomicU64,
    /// Whether a camera is open.
    pub(super) camera_open: AtomicBool,
    wanted: Mutex<Arc<Wanted>>,
    tee: Mutex<Tee>,
    notices: Sender<Notice>,
}

/// Where paintings go beside the window. Neither way ever waits.
#[derive(Default)]
pub(super) struct Tee {
    pub(super) record: Option<Sender<Arc<Painting>>>,
    /// Whether the recording got a painting; before its first there is no file.
    pub(super) has_recorded: bool,
    pub(super) sound: Option<Sender<CapturedSound>>,
    pub(super) virtual_camera: Option<LatestSender<Arc<Painting>>>,
    /// Paintings that the recording was too slow for.
    pub(super) not_recorded: u64,
    /// Packets of sound that the recording was too slow for.
    pub(super) unheard: u64,
}

impl Shared {
    pub(super) fn new(wanted: Wanted, notices: Sender<Notice>) -> Self {
        Self {
            stopping: AtomicBool::new(false),
            given: AtomicU64::new(0),
            captured: AtomicU64::new(0),
            handed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            painted: AtomicU64::new(0),
            camera_open: AtomicBool::new(false),
            wanted: Mutex::new(Arc::new(wanted)),
            tee: Mutex::new(Tee::default()),
            notices,
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn wanted(&self) -> Arc<Wanted> {
        self.wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn want(&self, wanted: &Wanted) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(wanted.clone());
    }

    pub(super) fn tee(&self) -> MutexGuard<'_, Tee> {
        self.tee.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the person at the window. Who floods is not heard in full.
    pub(super) fn tell(&self, notice: Notice) {
        let _ = self.notices.try_send(notice);
    }

    /// Whether painting has nothing to do.
    pub(super) fn is_idle(&self) -> bool {
        let done = self.painted.load(Ordering::Relaxed) + self.dropped.load(Ordering::Relaxed);
        self.handed.load(Ordering::Relaxed) <= done
    }

    /// Sleeps, but not longer than until the session ends.
    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.is_stopping() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// A picture with its number since the start.
pub(super) struct Numbered {
    captured: Captured,
    index: u64,
}

pub(super) fn capture(
    mut opener: Box<dyn CameraOpener>,
    to_paint: LatestSender<Numbered>,
    shared: &Shared,
    config: &LiveConfig,
) -> Outcome<StageStats, LiveError> {
    let mut stats = StageStats::default();
    // What was told last, so that trying again is silent.
    let mut told: Option<String> = None;
    loop {
        if shared.is_stopping() {
            return end_of(&to_paint, shared, stats);
        }
        let error = match opener.open() {
            Ok(mut camera) => {
                let mut mode = Some(camera.mode().to_owned());
                shared.camera_open.store(true, Ordering::Relaxed);
                let error = loop {
                    if shared.is_stopping() {
                        return end_of(&to_paint, shared, stats);
                    }
                    match camera.next() {
                        Ok(Some(captured)) => {
                            // Some open and give nothing.
                            if let Some(mode) = mode.take() {
                                let name = opener.name();
                                if told.take().is_some() {
                                    shared
                                        .tell(Notice::Recovered(format!("camera {name} is back")));
                                }
                                shared.tell(Notice::Info(format!("camera {name}: {mode}")));
                            }
                            shared.given.fetch_add(1, Ordering::Relaxed);
                            if !captured.is_repeated {
                                stats.frame(captured.at.elapsed());
                                shared.captured.fetch_add(1, Ordering::Relaxed);
                            } else if !shared.is_idle() {
                                // It is being painted yet: once more would only be dropped.
                                continue;
                            }
                            let index = shared.handed.fetch_add(1, Ordering::Relaxed);
                            if to_paint.put(Numbered { captured, index }).is_err() {
                                return left_alone(shared, stats);
                            }
                        }
                        Ok(None) => return end_of(&to_paint, shared, stats),
                        Err(error) => break error,
                    }
                };
                shared.camera_open.store(false, Ordering::Relaxed);
                error
            }
            Err(error) => error,
        };
        let may_return = stats.frames() > 0 || config.wait_for_camera;
        if !(may_return && error.is_recoverable()) {
            return Outcome::Failed(error.into());
        }
        if to_paint.reset(ResetReason::Discontinuity).is_err() {
            return left_alone(shared, stats);
        }
        report(&mut told, &error, shared);
        shared.pause(RETRY);
    }
}

/// Tells an error unless it was told already. A camera that comes back is seldom whole at once: what follows the first
/// error (missing after unplugged) is not news.
fn report(told: &mut Option<String>, error: &CameraError, shared: &Shared) {
    if told.is_none() {
        let text = with_causes(error);
        shared.tell(Notice::CameraGone(text.clone()));
        *told = Some(text);
    }
}

fn end_of(
    to_paint: &LatestSender<Numbered>,
    shared: &Shared,
    stats: StageStats,
) -> Outcome<StageStats, LiveError> {
    match to_paint.end() {
        Ok(()) => Outcome::Finished(stats),
        Err(_) => left_alone(shared, stats),
    }
}

/// The next stage is gone: when the session ends that is as it should be.
fn left_alone<T>(shared: &Shared, finished: T) -> Outcome<T, LiveError> {
    if shared.is_stopping() {
        Outcome::Finished(finished)
    } else {
        Outcome::Disconnected
    }
}

/// What painting came to.
pub(super) struct Painted {
    pub(super) stats: StageStats,
    /// How many frames were painted at each size.
    pub(super) sizes: BTreeMap<Size, u64>,
}

pub(super) fn paint(
    from_capture: LatestReceiver<Numbered>,
    mut painter: LivePainter,
    to_present: LatestSender<Arc<Painting>>,
    shared: &Shared,
) -> Outcome<Painted, LiveError> {
    let mut stats = StageStats::default();
    let mut sizes = BTreeMap::new();
    loop {
        let fresh = match from_capture.take(TICK) {
            Taken::Frame(fresh) => fresh,
            // Capturing may hang in its device, and then never says that it ended.
            Taken::Nothing if !shared.is_stopping() => continue,
            Taken::Nothing | Taken::End => {
                return match to_present.end() {
                    Ok(()) => Outcome::Finished(Painted { stats, sizes }),
                    Err(_) => Outcome::Disconnected,
                };
            }
            Taken::Disconnected => return Outcome::Disconnected,
        };
        shared.dropped.fetch_add(fresh.missed, Ordering::Relaxed);
        let wanted = shared.wanted();
        let Numbered { captured, index } = fresh.frame;
        let painting = match stats
            .time_frame(|| painter.paint(captured, index, fresh.reset.is_none(), &wanted))
        {
            Ok(painting) => Arc::new(painting),
            Err(error) => return Outcome::Failed(error.into()),
        };
        let size = (painting.painted.width(), painting.painted.height());
        *sizes.entry(size).or_insert(0) += 1;
        hand_out(&painting, shared);
        shared.painted.fetch_add(1, Ordering::Relaxed);
        if to_present.put(painting).is_err() {
            return Outcome::Disconnected;
        }
    }
}

/// Gives a painting to the recording and the virtual camera.
fn hand_out(painting: &Arc<Painting>, shared: &Shared) {
    let mut tee = shared.tee();
    let full = match tee
        .record
        .as_ref()
        .map(|link| link.try_send(painting.clone()))
    {
        Some(Err(TrySendError::Full(_))) => true,
        // It has failed, and says so itself.
        Some(Err(TrySendError::Disconnected(_))) => {
            tee.record = None;
            false
        }
        Some(Ok(())) => {
            tee.has_recorded = true;
            false
        }
        None => false,
    };
    if full {
        tee.not_recorded += 1;
        if tee.not_recorded == 1 {
            shared.tell(Notice::Trouble(
                "recording is too slow: frames are left out of it".into(),
            ));
        }
    }
    if tee
        .virtual_camera
        .as_ref()
        .is_some_and(|link| link.put(painting.clone()).is_err())
    {
        tee.virtual_camera = None;
    }
}

/// Gives the sound of a microphone to the recording, as long as there is one; otherwise it is not kept.
pub(super) fn listen(
    mut microphone: Box<dyn Microphone>,
    shared: &Shared,
) -> Outcome<(), LiveError> {
    while !shared.is_stopping() {
        let captured = match microphone.next() {
            Ok(Some(captured)) => captured,
            Ok(None) => break,
            Err(error) => return Outcome::Failed(error.into()),
        };
        let mut tee = shared.tee();
        let Some(link) = &tee.sound else {
            continue;
        };
        match link.try_send(captured) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tee.unheard += 1,
            Err(TrySendError::Disconnected(_)) => tee.sound = None,
        }
    }
    Outcome::Finished(())
}

/// Feeds a virtual camera at a steady rate; while nothing new is painted the last painting is repeated, because call
/// programs take a camera that pauses for a broken one.
pub(super) fn feed(
    from_paint: LatestReceiver<Arc<Painting>>,
    mut device: Box<dyn VirtualCamera>,
    rate_hz: f64,
    written: &AtomicU64,
) -> Outcome<StageStats, LiveError> {
    let mut stats = StageStats::default();
    let period = Duration::from_secs_f64(1.0 / rate_hz);
    let first = loop {
        match from_paint.take(TICK) {
            Taken::Frame(fresh) => break fresh.frame,
            Taken::Nothing => {}
            Taken::End | Taken::Disconnected => return Outcome::Finished(stats),
        }
    };
    // Even sides, which every consumer takes.
    let size = (
        (first.full().width() & !1).max(2),
        (first.full().height() & !1).max(2),
    );
    if let Err(error) = device.open(size.0, size.1, rate_hz) {
        return Outcome::Failed(error.into());
    }
    let mut picture = fitted(first.full(), size);
    let mut due = Instant::now();
    loop {
        if let Err(error) = stats.time_frame(|| device.write(&picture)) {
            return Outcome::Failed(error.into());
        }
        written.fetch_add(1, Ordering::Relaxed);
        due += period;
        let now = Instant::now();
        if due + period < now {
            // Held up: no burst to catch up.
            due = now;
        }
        let left = due.saturating_duration_since(now);
        if !left.is_zero() {
            std::thread::sleep(left);
        }
        match from_paint.take(Duration::ZERO) {
            Taken::Frame(fresh) => picture = fitted(fresh.frame.full(), size),
            Taken::Nothing => {}
            Taken::End | Taken::Disconnected => return Outcome::Finished(stats),
        }
    }
}

/// Looks after the main thread, which cannot look after itself: when it has not moved for `limit`, capturing ends (so
/// that recordings are completed) and `report` is called once.
pub(super) fn watch(
    heartbeat: &AtomicU64,
    limit: Duration,
    done: &Receiver<()>,
    shared: &Shared,
    report: Box<dyn FnOnce(LiveError) + Send>,
) -> Outcome<(), LiveError> {
    let mut report = Some(report);
    let mut silence = Silence::new(Instant::now());
    while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(TICK) {
        let beats = heartbeat.load(Ordering::Relaxed);
        let silent = silence.look(beats, false, Instant::now());
        if silent > limit
            && let Some(report) = report.take()
        {
            shared.stopping.store(true, Ordering::Relaxed);
            *shared.tee() = Tee::default();
            // Time for a recording to be completed.
            let _ = done.recv_timeout(Duration::from_millis(500));
            report(LiveError::Stalled {
                stage: "present",
                seconds: silent.as_secs_f64(),
                hint: "the window system does not answer; try --window off",
            });
            return Outcome::Finished(());
        }
    }
    Outcome::Finished(())
}
