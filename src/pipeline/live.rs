//! A live session: newest frame wins, and nothing that hangs takes the rest with it.
//!
//! ```text
//!            newest only             newest only
//! capture ──────────────► paint ─┬─────────────► present (main thread: window, keys)
//!   (drops, counts, marks)       ├─► record          (bounded; full: left out and counted)
//! microphone ───────────────────►│  (while recording)
//!                                └─► virtual camera  (newest only, at its own steady rate)
//! ```
//!
//! Frames are dropped in one place, right after capture, so that what is painted is always the newest picture. Each
//! frame carries the time of its capture to the end. A stage that fails or panics ends the session with its cause; one
//! that hangs, or is in the middle of a painting at the end, is reported, waited for with a limit, and left behind.

mod end;
mod present;
mod record;
mod silence;
mod stages;

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;

use self::{
    present::{Present, Recent},
    silence::Silence,
    stages::Shared,
};
use super::{
    Control, Outcome, StageStats, StageSummary, latest,
    stage::{panic_text, spawn_free},
};
use crate::{
    frame::Picture,
    live::{Canvas, Desk, Lettering, LivePainter, Readout, Size},
    media::Track,
    sink::{FrameSink, Screen, SinkError, VirtualCamera},
    source::{CameraError, CameraOpener, Microphone, MicrophoneError, StreamInfo},
    stylize::StylizeError,
};

/// Messages that may wait for the main thread.
const NOTICES: usize = 32;

/// Makes a recording of a name for pictures of a size, with the sound of a microphone.
pub type OpenRecording = Arc<
    dyn Fn(&Path, &StreamInfo, Option<&Track>) -> Result<Box<dyn FrameSink>, SinkError>
        + Send
        + Sync,
>;

/// Chooses the name of the recording (or screenshot) that is made next.
pub type NextName = Box<dyn FnMut() -> PathBuf>;

/// Saves a screenshot and says under which name; on a thread of its own.
pub type SaveScreenshot = Arc<dyn Fn(&Picture) -> Result<PathBuf, SinkError> + Send + Sync>;

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
    /// The microphone whose sound is recorded, if there is one.
    pub microphone: Option<Box<dyn Microphone>>,
    /// Makes recordings.
    pub open_recording: OpenRecording,
    /// Names recordings.
    pub recording_name: NextName,
    /// Saves a screenshot and says under which name.
    pub save_screenshot: SaveScreenshot,
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
    /// Fill the screen from the start.
    pub full_screen: bool,
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
    /// The same for recordings, whose encoder may have much left to do on a busy machine.
    pub finish: Duration,
}

impl Default for LiveConfig {
    fn default() -> Self {
        Self {
            rate_hz: 30.0,
            duration: None,
            record: false,
            full_screen: false,
            wait_for_camera: false,
            camera_silence: Duration::from_millis(1500),
            paint_silence: Duration::from_millis(1500),
            paint_limit: Duration::from_secs(10),
            present_limit: Duration::from_millis(1900),
            shut_down: Duration::from_millis(1500),
            finish: Duration::from_secs(20),
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
    /// The microphone.
    #[error(transparent)]
    Microphone(#[from] MicrophoneError),
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
    /// A recording was asked for, and it ended before there was anything to record.
    #[error("nothing was recorded: no picture was painted before the recording ended")]
    NothingRecorded,
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
    /// The camera is gone, and is waited for.
    CameraGone(String),
    /// It is back.
    Recovered(String),
}

impl Notice {
    /// What to show.
    pub fn text(&self) -> &str {
        let (Self::Info(text)
        | Self::Trouble(text)
        | Self::CameraGone(text)
        | Self::Recovered(text)) = self;
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
    /// Frames painted; one at which a film stands still counts each time.
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
    /// The 95th percentile again, of each whole minute: it shows whether frames grow older in a long session.
    pub latency_p95_ms_by_minute: Vec<f64>,
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
        microphone,
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
    let (track, listen) = match microphone {
        Some(microphone) => {
            let (track, shared) = (microphone.track().clone(), shared.clone());
            let stage = spawn_free(LISTEN, move || stages::listen(microphone, &shared));
            (Some(track), Some(stage.map_err(thread(LISTEN))?))
        }
        None => (None, None),
    };
    let heartbeat = Arc::new(AtomicU64::new(0));
    let (watch_done, done) = bounded(1);
    let watch = {
        let (shared, heartbeat, limit) = (shared.clone(), heartbeat.clone(), config.present_limit);
        spawn_free(WATCH, move || {
            stages::watch(&heartbeat, limit, &done, &shared, on_stuck)
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
        latency_of_minute: StageStats::default(),
        latency_p95_ms_by_minute: Vec::new(),
        shown: 0,
        unshown: 0,
        first_shown: None,
        last_shown: None,
        recent: Recent::default(),
        full_screen: false,
        silent_camera: None,
        told_paint: false,
        capture_silence: Silence::new(started),
        paint_silence: Silence::new(started),
        open_recording,
        recording_name,
        save_screenshot,
        recording: None,
        recordings: Vec::new(),
        screenshots: Vec::new(),
        track,
        listen,
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
const SCREENSHOT: &str = "screenshot";
const RECORD: &str = "record";
const FEED: &str = "virtual camera";
const LISTEN: &str = "microphone";
const WATCH: &str = "watch";
