//! The main thread's part of a session: the window, the keys, and an eye on everything that may hang.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, bounded};

use super::{
    FEED, LISTEN, LiveConfig, LiveError, NextName, Notice, OpenRecording, PAINT, RECORD,
    SCREENSHOT, SaveScreenshot,
    end::ended,
    record::{self, Recorded},
    silence::Silence,
    stages::Shared,
};
use crate::{
    frame::Picture,
    live::{Canvas, Command, Desk, Lettering, Painting, Readout, draw, with_causes},
    media::Track,
    pipeline::{
        Control, LatestReceiver, Outcome, StageStats, Taken,
        stage::{FreeStage, spawn_free},
    },
    sink::Screen,
};

/// Paintings that may wait for the recording: a quarter of a second, which covers an encoder's key frames.
const RECORD_CAPACITY: usize = 8;
/// Packets of sound that may wait for the recording: a second or more.
const SOUND_CAPACITY: usize = 128;
/// Screenshots that may be written at once.
const SCREENSHOTS: usize = 4;
/// How often the window is looked after while no painting comes.
const PUMP: Duration = Duration::from_millis(8);
/// How often fading text is drawn anew while no painting comes.
const REDRAW: Duration = Duration::from_millis(33);
/// How often the window is drawn anew while nothing moves at all: what covered it may be gone.
const REDRAW_STILL: Duration = Duration::from_millis(200);

/// How often latency is noted.
const MINUTE: Duration = Duration::from_secs(60);

/// A running recording.
pub(super) struct Recording {
    pub(super) stage: FreeStage<Recorded, LiveError>,
    pub(super) started: Instant,
    pub(super) path: PathBuf,
}

/// Rate and latency of the last second or so.
#[derive(Default)]
pub(super) struct Recent {
    frames: u32,
    latency: Duration,
    since: Option<Instant>,
}

/// The main thread's part.
pub(super) struct Present<'a> {
    pub(super) config: &'a LiveConfig,
    pub(super) control: &'a Control,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) desk: Desk,
    pub(super) screen: Option<Box<dyn Screen>>,
    pub(super) lettering: Lettering,
    pub(super) canvas: Canvas,
    pub(super) readout: Readout,
    pub(super) started: Instant,
    pub(super) heartbeat: &'a AtomicU64,
    pub(super) notices: Receiver<Notice>,
    pub(super) from_paint: LatestReceiver<Arc<Painting>>,
    pub(super) newest: Option<Arc<Painting>>,
    pub(super) drawn: Option<Instant>,
    pub(super) stats: StageStats,
    pub(super) latency: StageStats,
    pub(super) latency_of_minute: StageStats,
    pub(super) latency_p95_ms_by_minute: Vec<f64>,
    pub(super) shown: u64,
    pub(super) unshown: u64,
    pub(super) first_shown: Option<Instant>,
    pub(super) last_shown: Option<Instant>,
    pub(super) recent: Recent,
    pub(super) full_screen: bool,
    /// Why there are no pictures, while there are none.
    pub(super) silent_camera: Option<String>,
    pub(super) told_paint: bool,
    pub(super) capture_silence: Silence,
    pub(super) paint_silence: Silence,
    pub(super) open_recording: OpenRecording,
    pub(super) recording_name: NextName,
    pub(super) save_screenshot: SaveScreenshot,
    pub(super) recording: Option<Recording>,
    pub(super) recordings: Vec<FreeStage<Recorded, LiveError>>,
    pub(super) screenshots: Vec<FreeStage<PathBuf, LiveError>>,
    /// What the microphone gives.
    pub(super) track: Option<Track>,
    pub(super) listen: Option<FreeStage<(), LiveError>>,
    pub(super) feed: Option<FreeStage<StageStats, LiveError>>,
    pub(super) fed: Arc<AtomicU64>,
    pub(super) failures: Vec<LiveError>,
}

impl Present<'_> {
    pub(super) fn run(&mut self, tell: &mut dyn FnMut(&Notice)) -> Outcome<(), LiveError> {
        if self.config.record
            && let Err(error) = self.start_recording(tell)
        {
            return Outcome::Failed(error);
        }
        self.desk.show_title(Instant::now());
        if self.config.full_screen {
            self.carry_out(Command::FullScreen, tell);
        }
        loop {
            let now = Instant::now();
            self.heartbeat.fetch_add(1, Ordering::Relaxed);
            self.desk.follow_up(now);
            self.count_minutes();
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
            self.latency_of_minute.frame(age);
            self.shown += 1;
            self.first_shown.get_or_insert(now);
            self.last_shown = Some(now);
            self.control.count_painted();
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
                Some(Command::Leave) if !self.full_screen => return Ok(false),
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
            Command::Leave => self.carry_out(Command::FullScreen, tell),
            Command::Record if self.recording.is_some() => self.stop_recording(tell),
            Command::Record => {
                if let Err(error) = self.start_recording(tell) {
                    self.notice(Notice::Trouble(with_causes(&error)), tell);
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
        if self.screenshots.len() >= SCREENSHOTS {
            let text = "the disk still writes the screenshots before this one";
            return self.notice(Notice::Trouble(text.into()), tell);
        }
        let save = self.save_screenshot.clone();
        let stage = spawn_free(SCREENSHOT, move || match save(painting.full()) {
            Ok(path) => Outcome::Finished(path),
            Err(error) => Outcome::Failed(error.into()),
        });
        match stage {
            Ok(stage) => self.screenshots.push(stage),
            Err(error) => self.notice(Notice::Trouble(with_causes(&error)), tell),
        }
    }

    /// Tells of the screenshots that are written, or not.
    pub(super) fn saved(
        &mut self,
        screenshot: FreeStage<PathBuf, LiveError>,
        deadline: Instant,
        tell: &mut dyn FnMut(&Notice),
    ) {
        let notice = match screenshot.wait(deadline) {
            Some(Outcome::Finished(path)) => Notice::Info(format!("saved {}", path.display())),
            None => Notice::Trouble("a screenshot was not written in time".into()),
            outcome => match ended(SCREENSHOT, outcome) {
                Some(error) => Notice::Trouble(with_causes(&error)),
                None => return,
            },
        };
        self.notice(notice, tell);
    }

    fn start_recording(&mut self, tell: &mut dyn FnMut(&Notice)) -> Result<(), LiveError> {
        let path = (self.recording_name)();
        let (link, from_paint) = bounded(RECORD_CAPACITY);
        let (open, name) = (self.open_recording.clone(), path.clone());
        let (sound_link, from_microphone) = bounded(SOUND_CAPACITY);
        let sound = self.track.clone().map(|track| (track, from_microphone));
        let stage = spawn_free(RECORD, move || {
            record::record(from_paint, sound, name, &open)
        })
        .map_err(|source| LiveError::Thread {
            stage: RECORD,
            source,
        })?;
        let mut tee = self.shared.tee();
        (tee.record, tee.sound) = (Some(link), Some(sound_link));
        tee.has_recorded = false;
        drop(tee);
        self.notice(Notice::Info(format!("recording {}", path.display())), tell);
        self.recording = Some(Recording {
            stage,
            started: Instant::now(),
            path,
        });
        Ok(())
    }

    fn stop_recording(&mut self, tell: &mut dyn FnMut(&Notice)) {
        let mut tee = self.shared.tee();
        (tee.record, tee.sound) = (None, None);
        let has_recorded = tee.has_recorded;
        drop(tee);
        if let Some(recording) = self.recording.take() {
            let path = recording.path.display();
            let text = if has_recorded {
                format!("recorded {path}")
            } else {
                format!("nothing was recorded in {path}: no picture was painted before it ended")
            };
            self.recordings.push(recording.stage);
            self.notice(Notice::Info(text), tell);
        }
    }

    fn notice(&mut self, notice: Notice, tell: &mut dyn FnMut(&Notice)) {
        tell(&notice);
        self.desk.say(notice.text(), Instant::now());
        match notice {
            // It may be back already.
            Notice::CameraGone(text) if !self.shared.camera_open.load(Ordering::Relaxed) => {
                self.silent_camera = Some(text);
            }
            Notice::Recovered(_) => self.silent_camera = None,
            _ => {}
        }
    }

    /// Keeps the latency of each minute that is over.
    fn count_minutes(&mut self) {
        let whole = (self.started.elapsed().as_secs() / MINUTE.as_secs()) as usize;
        if self.latency_p95_ms_by_minute.len() < whole {
            let minute = std::mem::take(&mut self.latency_of_minute).summary(MINUTE);
            self.latency_p95_ms_by_minute.resize(whole, minute.p95_ms);
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
        let given = self.shared.given.load(Ordering::Relaxed);
        let open = self.shared.camera_open.load(Ordering::Relaxed);
        // While it is closed, capturing itself tells what is wrong.
        let silence = self.capture_silence.look(given, !open, now);
        if silence < self.config.camera_silence {
            if open && given > 0 && self.silent_camera.take().is_some() {
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
        let is_idle = self.shared.is_idle();
        let behind = self.paint_silence.look(painted, is_idle, now);
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
        let now = Instant::now();
        while let Some(place) = self.screenshots.iter().position(FreeStage::has_ended) {
            let screenshot = self.screenshots.remove(place);
            self.saved(screenshot, now, tell);
        }
        let mut failed = Vec::new();
        if let Some(recording) = self.recording.take_if(|r| r.stage.has_ended()) {
            failed.extend(ended(RECORD, recording.stage.wait(now)));
        }
        if let Some(feed) = self.feed.take_if(|feed| feed.has_ended()) {
            failed.extend(ended(FEED, feed.wait(now)));
        }
        if let Some(listen) = self.listen.take_if(|listen| listen.has_ended()) {
            self.shared.tee().sound = None;
            // Recordings from now on have none.
            self.track = None;
            failed.extend(ended(LISTEN, listen.wait(now)));
        }
        for error in failed {
            let is_sound = matches!(error, LiveError::Microphone(_));
            let seen = self.screen.is_some() || self.recording.is_some() || self.feed.is_some();
            if !is_sound && !seen {
                // Nobody would see what is painted from now on.
                return Err(error);
            }
            self.notice(Notice::Trouble(with_causes(&error)), tell);
            self.failures.push(error);
        }
        Ok(())
    }
}
