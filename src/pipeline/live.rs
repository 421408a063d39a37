//! A live session: newest frame wins, and nothing that hangs takes the rest with it.
//!
//! ```text
//!            newest only             newest only
//! capture ──────────────► paint ─┬─────────────► present (main thread: window, keys)
//!   (drops, counts, marks)       ├─► record          (bounded; full: left out and counted)
//!                                └─► virtual camera  (newest only, at its own steady rate)
//! ```
//!
//! Frames are dropped in one place, right after capture, so that what is painted is always the newest picture. Each
//! frame carries the time of its capture to the end. A stage that fails or panics ends the session with its cause; one
//! that hangs is reported, waited for with a limit, and left behind.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{
    Control, LatestReceiver, Outcome, StageStats, StageSummary, Taken, latest,
    live_stages::{self as stages, Painted, Recorded, Shared},
    stage::{FreeStage, panic_text, spawn_free},
};
use crate::{
    frame::Picture,
    live::{Canvas, Command, Desk, Lettering, LivePainter, Painting, Readout, Size, draw},
    sink::{FrameSink, Screen, SinkError, VirtualCamera},
    source::{CameraError, CameraOpener, StreamInfo},
    stylize::StylizeError,
};

/// Paintings that may wait for the recording: a quarter of a second, which covers an encoder's key frames.
const RECORD_CAPACITY: usize = 8;
/// Messages that may wait for the main thread.
const NOTICES: usize = 32;
/// How often the window is looked after while no painting comes.
const PUMP: Duration = Duration::from_millis(8);
/// How often fading text is drawn anew while no painting comes.
const REDRAW: Duration = Duration::from_millis(33);

/// How often the window is drawn anew while nothing moves at all: what covered it may be gone.
const REDRAW_STILL: Duration = Duration::from_millis(200);

/// Makes a recording of a name for pictures of a size.
pub type OpenRecording =
    Arc<dyn Fn(&Path, &StreamInfo) -> Result<Box<dyn FrameSink>, SinkError> + Send + Sync>;

/// Chooses the name of the recording (or screenshot) that is made next.
pub type NextName = Box<dyn FnMut() -> PathBuf>;

/// What a session is put together from.
pub struct LiveParts {
    /// Where pictures come from.
    pub camera: Box<dyn CameraOpener>,
    /// What paints them.
    pub painter: LivePainter,
    /// The switches.
    pub desk: Desk,
    /// The window, if there is one.
    pub screen: Option<Box<dyn Screen>>,
    /// The virtual camera, if there is one.
    pub virtual_camera: Option<Box<dyn VirtualCamera>>,
    /// Makes recordings.
    pub open_recording: OpenRecording,
    /// Names recordings.
    pub recording_name: NextName,
    /// Saves a screenshot and says under which name.
    pub save_screenshot: Box<dyn FnMut(&Picture) -> Result<PathBuf, SinkError>>,
    /// Told when the main thread hangs, on another thread; the program should end then.
    pub on_stuck: Box<dyn FnOnce(LiveError) + Send>,
}

/// How a session runs.
#[derive(Clone, Debug)]
pub struct LiveConfig {
    /// Frames per second that are wanted.
    pub rate_hz: f64,
    /// When to end by itself.
    pub duration: Option<Duration>,
    /// Record from the start.
    pub record: bool,
    /// Wait for a camera that is missing or busy at the start, too.
    pub wait_for_camera: bool,
    /// A camera that is silent for this long is reported.
    pub camera_silence: Duration,
    /// A painter that is silent for this long is reported.
    pub paint_silence: Duration,
    /// A painter that is silent for this long ends the session.
    pub paint_limit: Duration,
    /// A main thread that is silent for this long ends the session.
    pub present_limit: Duration,
    /// How long stages have at the end; one that takes longer is left behind.
    pub shut_down: Duration,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            rate_hz: 30.0,
            duration: None,
            record: false,
            wait_for_camera: false,
            camera_silence: Duration::from_millis(1500),
            paint_silence: Duration::from_millis(1500),
            paint_limit: Duration::from_secs(10),
            present_limit: Duration::from_millis(1900),
            shut_down: Duration::from_millis(1500),
        }
    }
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The camera.
    #[error(transparent)]
    Camera(#[from] CameraError),
    /// The painter.
    #[error(transparent)]
    Stylize(#[from] StylizeError),
    /// The window, the recording or the virtual camera.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// A stage panicked.
    #[error("internal error in stage {stage}: {message} (please report this)")]
    Panicked {
        /// Name of the stage.
        stage: &'static str,
        /// What the panic said.
        message: String,
    },
    /// A stage hangs.
    #[error("stage {stage} has not moved for {seconds:.1} s: {hint}")]
    Stalled {
        /// Name of the stage.
        stage: &'static str,
        /// For how long.
        seconds: f64,
        /// What to try.
        hint: &'static str,
    },
    /// The system gave no thread.
    #[error("the system gives no thread for stage {stage}")]
    Thread {
        /// Name of the stage.
        stage: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The built-in font is damaged.
    #[error("the built-in font is damaged (please report this)")]
    Font(#[from] ab_glyph::InvalidFont),
    /// A stage left and none says why.
    #[error("internal error: stage {0} was cut off without a cause (please report this)")]
    CutOff(&'static str),
}

/// Something to tell the person while the session runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Good to know.
    Info(String),
    /// Something is wrong, and the session goes on.
    Trouble(String),
    /// What was wrong is not any more.
    Recovered(String),
}

impl Notice {
    /// What to show.
    pub fn text(&self) -> &str {
        let (Self::Info(text) | Self::Trouble(text) | Self::Recovered(text)) = self;
        text
    }
}

/// What a session came to.
#[derive(Debug, Default)]
pub struct LiveReport {
    /// Frames that the camera gave.
    pub captured: u64,
    /// Frames dropped right after capture because painting was not done with the one before.
    pub dropped: u64,
    /// Frames painted.
    pub painted: u64,
    /// Frames shown (or handed over, without a window).
    pub shown: u64,
    /// Frames recorded.
    pub recorded: u64,
    /// Frames that the recording was too slow for.
    pub not_recorded: u64,
    /// Frames written to the virtual camera, repeated ones too.
    pub fed: u64,
    /// Frames shown per second between the first and the last.
    pub rate_hz: f64,
    /// How long the session ran.
    pub wall: Duration,
    /// Age of the frames when they had been shown: median and 95th percentile in milliseconds.
    pub latency_ms: (f64, f64),
    /// Times of each stage, in the order of the data. For `capture` it is the age of the frames when they were decoded.
    pub stages: Vec<(&'static str, StageSummary)>,
    /// Sizes painted at, and how many frames each.
    pub sizes: Vec<(Size, u64)>,
    /// Recordings made.
    pub recordings: Vec<PathBuf>,
    /// What the user should know, in full sentences.
    pub notes: Vec<String>,
    /// Recordings and virtual cameras that failed while the session went on.
    pub failures: Vec<LiveError>,
}

/// Runs a session until the window is closed, its time is over, the camera's file ends, or `control` asks to stop. `tell`
/// gets what the person should know at once.
///
/// # Errors
/// The cause that ended it.
pub fn run(
    parts: LiveParts,
    config: &LiveConfig,
    control: &Arc<Control>,
    tell: &mut dyn FnMut(&Notice),
) -> Result<LiveReport, LiveError> {
    let LiveParts {
        camera,
        painter,
        desk,
        screen,
        virtual_camera,
        open_recording,
        recording_name,
        save_screenshot,
        on_stuck,
    } = parts;
    let started = Instant::now();
    let (notices_in, notices) = bounded(NOTICES);
    let shared = Arc::new(Shared::new(desk.wanted().clone(), notices_in));
    let (to_paint, from_capture) = latest();
    let (to_present, from_paint) = latest();
    let thread = |stage| move |source| LiveError::Thread { stage, source };

    let capture = {
        let (shared, config) = (shared.clone(), config.clone());
        spawn_free(CAPTURE, move || {
            stages::capture(camera, to_paint, &shared, &config)
        })
        .map_err(thread(CAPTURE))?
    };
    let paint = {
        let shared = shared.clone();
        spawn_free(PAINT, move || {
            stages::paint(from_capture, painter, to_present, &shared)
        })
        .map_err(thread(PAINT))?
    };
    let fed = Arc::new(AtomicU64::new(0));
    let feed = match virtual_camera {
        Some(device) => {
            let (link, from_paint) = latest();
            shared.tee().virtual_camera = Some(link);
            let (rate_hz, fed) = (config.rate_hz, fed.clone());
            let stage = spawn_free(FEED, move || {
                stages::feed(from_paint, device, rate_hz, &fed)
            });
            Some(stage.map_err(thread(FEED))?)
        }
        None => None,
    };
    let heartbeat = Arc::new(AtomicU64::new(0));
    let (watch_done, done) = bounded(1);
    let watch = {
        let (shared, heartbeat, limit) = (shared.clone(), heartbeat.clone(), config.present_limit);
        spawn_free(WATCH, move || {
            stages::watch(&heartbeat, started, limit, &done, &shared, on_stuck)
        })
        .map_err(thread(WATCH))?
    };

    let mut present = Present {
        config,
        control,
        shared: &shared,
        desk,
        screen,
        lettering: Lettering::new()?,
        canvas: Canvas::default(),
        readout: Readout::default(),
        started,
        heartbeat: &heartbeat,
        notices,
        from_paint,
        newest: None,
        drawn: None,
        stats: StageStats::default(),
        latency: StageStats::default(),
        shown: 0,
        unshown: 0,
        first_shown: None,
        last_shown: None,
        recent: Recent::default(),
        full_screen: false,
        silent_camera: None,
        told_paint: false,
        seen_captured: (0, started),
        seen_painted: (0, started),
        open_recording,
        recording_name,
        save_screenshot,
        recording: None,
        recordings: Vec::new(),
        feed,
        fed,
        failures: Vec::new(),
    };
    // The main thread's part is a stage as any other: its panic must not leave a recording unfinished.
    let presented = catch_unwind(AssertUnwindSafe(|| present.run(tell)))
        .unwrap_or_else(|panic| Outcome::Panicked(panic_text(&*panic)));
    present.shut_down(presented, capture, paint, watch, &watch_done, tell)
}

const CAPTURE: &str = "capture";
const PAINT: &str = "paint";
const PRESENT: &str = "present";
const RECORD: &str = "record";
const FEED: &str = "virtual camera";
const WATCH: &str = "watch";

/// A running recording.
struct Recording {
    stage: FreeStage<Recorded, LiveError>,
    started: Instant,
    path: PathBuf,
}

/// Rate and latency of the last second or so.
#[derive(Default)]
struct Recent {
    frames: u32,
    latency: Duration,
    since: Option<Instant>,
}

/// The main thread's part.
struct Present<'a> {
    config: &'a LiveConfig,
    control: &'a Control,
    shared: &'a Arc<Shared>,
    desk: Desk,
    screen: Option<Box<dyn Screen>>,
    lettering: Lettering,
    canvas: Canvas,
    readout: Readout,
    started: Instant,
    heartbeat: &'a AtomicU64,
    notices: Receiver<Notice>,
    from_paint: LatestReceiver<Arc<Painting>>,
    newest: Option<Arc<Painting>>,
    drawn: Option<Instant>,
    stats: StageStats,
    latency: StageStats,
    shown: u64,
    unshown: u64,
    first_shown: Option<Instant>,
    last_shown: Option<Instant>,
    recent: Recent,
    full_screen: bool,
    /// Why there are no pictures, while there are none.
    silent_camera: Option<String>,
    told_paint: bool,
    seen_captured: (u64, Instant),
    seen_painted: (u64, Instant),
    open_recording: OpenRecording,
    recording_name: NextName,
    save_screenshot: Box<dyn FnMut(&Picture) -> Result<PathBuf, SinkError>>,
    recording: Option<Recording>,
    recordings: Vec<FreeStage<Recorded, LiveError>>,
    feed: Option<FreeStage<StageStats, LiveError>>,
    fed: Arc<AtomicU64>,
    failures: Vec<LiveError>,
}

impl Present<'_> {
    fn run(&mut self, tell: &mut dyn FnMut(&Notice)) -> Outcome<(), LiveError> {
        if self.config.record
            && let Err(error) = self.start_recording(tell)
        {
            return Outcome::Failed(error);
        }
        self.desk.show_title(Instant::now());
        loop {
            let now = Instant::now();
            self.heartbeat
                .store(self.started.elapsed().as_millis() as u64, Ordering::Relaxed);
            let over = self
                .config
                .duration
                .is_some_and(|duration| self.started.elapsed() >= duration);
            if over || self.control.is_stopping() {
                return Outcome::Finished(());
            }
            while let Ok(notice) = self.notices.try_recv() {
                self.notice(notice, tell);
            }
            if let Err(error) = self.look_after(now, tell) {
                return Outcome::Failed(error);
            }
            let painting = match self.from_paint.take(PUMP) {
                Taken::Frame(fresh) => {
                    self.unshown += fresh.missed;
                    Some(fresh.frame)
                }
                Taken::Nothing => None,
                Taken::End => return Outcome::Finished(()),
                Taken::Disconnected => return Outcome::Disconnected,
            };
            match self.present(painting, tell) {
                Ok(true) => {}
                Ok(false) => return Outcome::Finished(()),
                Err(error) => return Outcome::Failed(error),
            }
        }
    }

    /// Shows a new painting, or what changed without one. `false` when the person is done.
    fn present(
        &mut self,
        painting: Option<Arc<Painting>>,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<bool, LiveError> {
        let begun = Instant::now();
        let fresh = painting.is_some();
        let captured = painting.as_ref().map(|painting| painting.captured);
        if let Some(painting) = painting {
            self.readout.size = (painting.painted.width(), painting.painted.height());
            self.newest = Some(painting);
        }
        if self.screen.is_some() && !self.show(fresh, begun, tell)? {
            return Ok(false);
        }
        if let Some(captured) = captured {
            let now = Instant::now();
            self.stats.frame(now.saturating_duration_since(begun));
            let age = now.saturating_duration_since(captured);
            self.latency.frame(age);
            self.shown += 1;
            self.first_shown.get_or_insert(now);
            self.last_shown = Some(now);
            self.control.count_finished();
            self.read_out(age, now);
        }
        Ok(true)
    }

    fn show(
        &mut self,
        fresh: bool,
        now: Instant,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<bool, LiveError> {
        let Some(screen) = &mut self.screen else {
            return Ok(true);
        };
        let size = screen.size();
        let resized = size != (self.canvas.width(), self.canvas.height());
        let pace = if self.desk.is_moving(now) {
            REDRAW
        } else {
            REDRAW_STILL
        };
        let due = self
            .drawn
            .is_none_or(|drawn| now.saturating_duration_since(drawn) >= pace);
        if fresh || resized || due {
            if resized {
                self.canvas.resize(size.0, size.1);
            }
            self.readout.dropped = self.shared.dropped.load(Ordering::Relaxed);
            self.readout.recording = self.recording.as_ref().map(|r| r.started.elapsed());
            self.readout.trouble = self.silent_camera.clone();
            match &self.newest {
                Some(painting) => {
                    let shown = painting.fitting(size);
                    let original = &*painting.original;
                    let left = self.desk.split.then_some(original);
                    let aspect = (original.width(), original.height());
                    self.canvas.show(&shown, left, aspect);
                }
                None => self.canvas.show(&Picture::black(16, 9), None, (16, 9)),
            }
            draw(
                &mut self.canvas,
                &mut self.lettering,
                &self.desk,
                &self.readout,
                now,
            );
            screen.show(&self.canvas)?;
            self.drawn = Some(now);
        }
        let Some(keys) = screen.pump()? else {
            return Ok(false);
        };
        for key in keys {
            match self.desk.press(key, now) {
                Some(Command::Quit) => return Ok(false),
                Some(command) => self.carry_out(command, tell),
                None => {}
            }
            // At once, not with the next frame.
            self.drawn = None;
        }
        self.shared.want(self.desk.wanted());
        Ok(true)
    }

    fn carry_out(&mut self, command: Command, tell: &mut dyn FnMut(&Notice)) {
        match command {
            Command::Quit => {}
            Command::Record if self.recording.is_some() => self.stop_recording(tell),
            Command::Record => {
                if let Err(error) = self.start_recording(tell) {
                    self.notice(Notice::Trouble(error.to_string()), tell);
                }
            }
            Command::Screenshot => self.screenshot(tell),
            Command::FullScreen => {
                let wanted = !self.full_screen;
                let done = self.screen.as_mut().is_some_and(|s| s.full_screen(wanted));
                if done {
                    self.full_screen = wanted;
                } else {
                    let text =
                        "this window system lets no program fill the screen: use its own key";
                    self.desk.say(text, Instant::now());
                }
            }
        }
    }

    fn screenshot(&mut self, tell: &mut dyn FnMut(&Notice)) {
        let Some(painting) = self.newest.clone() else {
            return;
        };
        let notice = match (self.save_screenshot)(painting.full()) {
            Ok(path) => Notice::Info(format!("saved {}", path.display())),
            Err(error) => Notice::Trouble(LiveError::from(error).to_string()),
        };
        self.notice(notice, tell);
    }

    fn start_recording(&mut self, tell: &mut dyn FnMut(&Notice)) -> Result<(), LiveError> {
        let path = (self.recording_name)();
        let (link, from_paint) = bounded(RECORD_CAPACITY);
        let (open, name) = (self.open_recording.clone(), path.clone());
        let stage = spawn_free(RECORD, move || stages::record(from_paint, name, &open)).map_err(
            |source| LiveError::Thread {
                stage: RECORD,
                source,
            },
        )?;
        self.shared.tee().record = Some(link);
        self.notice(Notice::Info(format!("recording {}", path.display())), tell);
        self.recording = Some(Recording {
            stage,
            started: Instant::now(),
            path,
        });
        Ok(())
    }

    fn stop_recording(&mut self, tell: &mut dyn FnMut(&Notice)) {
        self.shared.tee().record = None;
        if let Some(recording) = self.recording.take() {
            let text = format!("recorded {}", recording.path.display());
            self.recordings.push(recording.stage);
            self.notice(Notice::Info(text), tell);
        }
    }

    fn notice(&mut self, notice: Notice, tell: &mut dyn FnMut(&Notice)) {
        tell(&notice);
        self.desk.say(notice.text(), Instant::now());
        if !self.shared.camera_open.load(Ordering::Relaxed) {
            if let Notice::Trouble(text) = notice {
                self.silent_camera = Some(text);
            }
        } else if matches!(notice, Notice::Recovered(_)) {
            self.silent_camera = None;
        }
    }

    fn read_out(&mut self, age: Duration, now: Instant) {
        let since = *self.recent.since.get_or_insert(now);
        self.recent.frames += 1;
        self.recent.latency += age;
        let passed = now.saturating_duration_since(since);
        if passed >= Duration::from_millis(700) {
            self.readout.rate_hz = f64::from(self.recent.frames - 1) / passed.as_secs_f64();
            self.readout.latency = self.recent.latency / self.recent.frames;
            self.recent = Recent {
                frames: 1,
                latency: age,
                since: Some(now),
            };
        }
    }

    /// Notices stages that hang, and outputs that failed.
    fn look_after(&mut self, now: Instant, tell: &mut dyn FnMut(&Notice)) -> Result<(), LiveError> {
        let moved = |count: u64, seen: &mut (u64, Instant)| {
            if count != seen.0 {
                *seen = (count, now);
            }
            now.saturating_duration_since(seen.1)
        };
        let captured = self.shared.captured.load(Ordering::Relaxed);
        let open = self.shared.camera_open.load(Ordering::Relaxed);
        if !open {
            // Capturing itself tells what is wrong.
            self.seen_captured.1 = now;
        }
        let silence = moved(captured, &mut self.seen_captured);
        if silence < self.config.camera_silence {
            if open && captured > 0 && self.silent_camera.take().is_some() {
                // A camera that was reopened tells so itself.
                self.desk.say("the camera is back", now);
            }
        } else if self.silent_camera.is_none() {
            let text = format!(
                "the camera has given no picture for {:.1} s (is it covered, asleep, or its cable loose?); waiting for it",
                silence.as_secs_f64()
            );
            tell(&Notice::Trouble(text.clone()));
            self.silent_camera = Some(text);
        }

        let painted = self.shared.painted.load(Ordering::Relaxed);
        let mut behind = moved(painted, &mut self.seen_painted);
        if captured <= painted + self.shared.dropped.load(Ordering::Relaxed) {
            // It has nothing to do.
            behind = Duration::ZERO;
            self.seen_painted.1 = now;
        }
        if behind >= self.config.paint_limit {
            return Err(LiveError::Stalled {
                stage: PAINT,
                seconds: behind.as_secs_f64(),
                hint: "choose a smaller --size, or another --device",
            });
        }
        if behind < self.config.paint_silence {
            self.told_paint = false;
        } else if !self.told_paint {
            self.told_paint = true;
            let text = format!(
                "no picture has been painted for {:.1} s: this size is too large for this machine",
                behind.as_secs_f64()
            );
            self.notice(Notice::Trouble(text), tell);
        }
        self.look_after_outputs(tell)
    }

    fn look_after_outputs(&mut self, tell: &mut dyn FnMut(&Notice)) -> Result<(), LiveError> {
        let mut failed = None;
        if let Some(recording) = self.recording.take_if(|r| r.stage.has_ended()) {
            failed = ended(RECORD, recording.stage.wait(Instant::now()));
        }
        if let Some(feed) = self.feed.take_if(|feed| feed.has_ended()) {
            failed = ended(FEED, feed.wait(Instant::now())).or(failed);
        }
        let Some(error) = failed else {
            return Ok(());
        };
        if self.screen.is_none() && self.recording.is_none() && self.feed.is_none() {
            // Nobody would see what is painted from now on.
            return Err(error);
        }
        self.notice(Notice::Trouble(error.to_string()), tell);
        self.failures.push(error);
        Ok(())
    }

    /// Ends all stages, waits for them with a limit, and finds out what it all came to.
    fn shut_down(
        mut self,
        presented: Outcome<(), LiveError>,
        capture: FreeStage<StageStats, LiveError>,
        paint: FreeStage<Painted, LiveError>,
        watch: FreeStage<(), LiveError>,
        watch_done: &Sender<()>,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<LiveReport, LiveError> {
        let shared = self.shared.clone();
        // First the watch: the main thread has left its loop, not stalled.
        let _ = watch_done.try_send(());
        shared.stopping.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + self.config.shut_down;
        let wall = self.started.elapsed();
        // The window goes at once, whatever else takes its time.
        self.screen = None;
        // Until painting has ended its receiver must live, or painting would take it for a failure.
        let painted = paint.wait(deadline);
        let not_recorded = {
            let mut tee = shared.tee();
            (tee.record, tee.virtual_camera) = (None, None);
            tee.not_recorded
        };
        let recordings: Vec<_> = std::mem::take(&mut self.recordings)
            .into_iter()
            .chain(self.recording.take().map(|recording| recording.stage))
            .map(|stage| stage.wait(deadline))
            .collect();
        let fed = self.feed.take().map(|stage| stage.wait(deadline));
        // Last, since it is the most likely to hang, and nothing waits for it.
        let captured = capture.wait(deadline);
        drop(watch);
        while let Ok(notice) = self.notices.try_recv() {
            tell(&notice);
        }

        let mut report = LiveReport {
            captured: shared.captured.load(Ordering::Relaxed),
            dropped: shared.dropped.load(Ordering::Relaxed),
            painted: shared.painted.load(Ordering::Relaxed),
            shown: self.shown,
            not_recorded,
            fed: self.fed.load(Ordering::Relaxed),
            wall,
            failures: std::mem::take(&mut self.failures),
            ..LiveReport::default()
        };
        if let (Some(first), Some(last)) = (self.first_shown, self.last_shown)
            && self.shown > 1
        {
            report.rate_hz = (self.shown - 1) as f64 / (last - first).as_secs_f64().max(1e-9);
        }
        let latency = self.latency.summary(wall);
        report.latency_ms = (latency.p50_ms, latency.p95_ms);

        let mut blame = Blame::default();
        if let Some(stats) = blame.take(CAPTURE, captured, &mut report.notes) {
            report.stages.push((CAPTURE, stats.summary(wall)));
        }
        if let Some(painted) = blame.take(PAINT, painted, &mut report.notes) {
            report.stages.push((PAINT, painted.stats.summary(wall)));
            report.sizes = painted.sizes.into_iter().collect();
        }
        blame.take(PRESENT, Some(presented), &mut report.notes);
        report.stages.push((PRESENT, self.stats.summary(wall)));
        if let Some(error) = blame.cause() {
            return Err(error);
        }
        self.report_outputs(&mut report, recordings, fed);
        Ok(report)
    }

    fn report_outputs(
        &self,
        report: &mut LiveReport,
        recordings: Vec<Option<Outcome<Recorded, LiveError>>>,
        fed: Option<Option<Outcome<StageStats, LiveError>>>,
    ) {
        let wall = report.wall;
        for recording in recordings {
            match recording {
                Some(Outcome::Finished(recorded)) => {
                    report.recorded += recorded.stats.frames();
                    report.stages.push((RECORD, recorded.stats.summary(wall)));
                    report.notes.extend(recorded.notes);
                    report.recordings.push(recorded.path);
                }
                Some(outcome) => report.failures.extend(ended(RECORD, Some(outcome))),
                None => report.failures.push(LiveError::Stalled {
                    stage: RECORD,
                    seconds: self.config.shut_down.as_secs_f64(),
                    hint: "the disk does not keep up; the file holds what was written until then",
                }),
            }
        }
        match fed {
            Some(Some(Outcome::Finished(stats))) => {
                report.stages.push((FEED, stats.summary(wall)));
            }
            Some(Some(outcome)) => report.failures.extend(ended(FEED, Some(outcome))),
            Some(None) => report.failures.push(LiveError::Stalled {
                stage: FEED,
                seconds: self.config.shut_down.as_secs_f64(),
                hint: "the video device takes no pictures",
            }),
            None => {}
        }
    }
}

/// The error of a stage that ended before it should.
fn ended<T>(stage: &'static str, outcome: Option<Outcome<T, LiveError>>) -> Option<LiveError> {
    match outcome? {
        Outcome::Finished(_) => None,
        Outcome::Failed(error) => Some(error),
        Outcome::Panicked(message) => Some(LiveError::Panicked { stage, message }),
        Outcome::Disconnected => Some(LiveError::CutOff(stage)),
    }
}

/// Finds the stage that is most to blame; of equals the first, since what follows is a consequence.
#[derive(Default)]
struct Blame {
    worst: Option<(u8, LiveError)>,
}

impl Blame {
    /// What a stage finished with; of the others the blame is kept. A stage that hangs at the end is only noted: its
    /// work is not wanted any more.
    fn take<T>(
        &mut self,
        stage: &'static str,
        outcome: Option<Outcome<T, LiveError>>,
        notes: &mut Vec<String>,
    ) -> Option<T> {
        let Some(outcome) = outcome else {
            notes.push(format!(
                "Stage {stage} hung at the end and was left behind."
            ));
            return None;
        };
        let rank = outcome.rank();
        let error = match outcome {
            Outcome::Finished(value) => return Some(value),
            Outcome::Failed(error) => error,
            Outcome::Panicked(message) => LiveError::Panicked { stage, message },
            Outcome::Disconnected => LiveError::CutOff(stage),
        };
        if self.worst.as_ref().is_none_or(|(worst, _)| rank > *worst) {
            self.worst = Some((rank, error));
        }
        None
    }

    fn cause(self) -> Option<LiveError> {
        self.worst.map(|(_, error)| error)
    }
}
