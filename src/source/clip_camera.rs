//! Cameras for machines without one: the test card, and a video file played in real time.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    Camera, CameraError, CameraMode, CameraOpener, Captured, FrameSource, Sizing, TestCard,
    VideoFileSource, VideoSourceSettings,
};
use crate::{
    frame::{Packet, Picture},
    media::TrackKind,
};

/// A picture that stays for much longer is given again this often, so that it is painted in another style when one is
/// chosen, and nobody takes a film that stands still for a camera that hangs.
const AGAIN: Duration = Duration::from_millis(200);
/// A file that names a higher rate, or shorter pictures, names the ticks of its clock.
const HIGHEST_RATE_HZ: f64 = 240.0;
/// How long the last picture is shown when nothing says: that of a film of 25 a second.
const UNKNOWN_LENGTH: Duration = Duration::from_millis(40);
/// A damaged file may say that its last picture is shown for years.
const LONGEST: Duration = Duration::from_secs(3600);

/// The moving test card as a camera.
#[derive(Debug)]
pub struct TestCamera {
    width: usize,
    height: usize,
    rate_hz: f64,
}

impl TestCamera {
    /// A card of this size in pixels, `rate_hz` times a second.
    pub fn new(width: usize, height: usize, rate_hz: f64) -> Self {
        Self {
            width,
            height,
            rate_hz,
        }
    }
}

impl CameraOpener for TestCamera {
    fn name(&self) -> String {
        "test".into()
    }

    fn open(&mut self) -> Result<Box<dyn Camera>, CameraError> {
        Ok(Box::new(OpenTestCamera {
            card: TestCard::new(self.width, self.height, u64::MAX),
            mode: CameraMode {
                width: self.width,
                height: self.height,
                rate_hz: Some(self.rate_hz),
                format: "test card".into(),
            },
            rate_hz: self.rate_hz,
            started: None,
            next: 0,
        }))
    }
}

struct OpenTestCamera {
    card: TestCard,
    mode: CameraMode,
    rate_hz: f64,
    started: Option<Instant>,
    next: u64,
}

impl Camera for OpenTestCamera {
    fn mode(&self) -> &CameraMode {
        &self.mode
    }

    fn next(&mut self) -> Result<Option<Captured>, CameraError> {
        let started = *self.started.get_or_insert_with(Instant::now);
        // The card moves by its own clock of 30 frames a second, whatever the rate.
        let index = (self.next as f64 / self.rate_hz * 30.0).round() as u64;
        // Drawn ahead of its time, as a sensor exposes ahead of the moment at which it delivers.
        let picture = self.card.picture(index);
        let due = started + Duration::from_secs_f64(self.next as f64 / self.rate_hz);
        sleep_until(due);
        self.next += 1;
        // A program that was held up (a laptop that slept) does not race through what it missed.
        let late = Instant::now().saturating_duration_since(due).as_secs_f64();
        self.next += (late * self.rate_hz) as u64;
        Ok(Some(taken_now(picture, false)))
    }
}

/// A video file as a camera.
#[derive(Debug)]
pub struct ClipCamera {
    path: PathBuf,
    repeat: bool,
    threads: usize,
}

impl ClipCamera {
    /// Plays `path`, from the start again at its end if `repeat`.
    pub fn new(path: &Path, repeat: bool, threads: usize) -> Self {
        Self {
            path: path.to_owned(),
            repeat,
            threads,
        }
    }

    /// Whether the file has sound; as a camera it gives none.
    ///
    /// # Errors
    /// When the file cannot be played.
    pub fn has_sound(&self) -> Result<bool, CameraError> {
        let source = self.source(true)?;
        let mut tracks = source.description().tracks.iter();
        Ok(tracks.any(|track| track.kind == TrackKind::Audio))
    }

    fn source(&self, keep_tracks: bool) -> Result<VideoFileSource, CameraError> {
        let settings = VideoSourceSettings {
            size: Sizing::Native,
            keep_tracks,
            threads: self.threads,
            picture_rate: None,
            ..VideoSourceSettings::default()
        };
        Ok(VideoFileSource::open(&self.path, settings)?)
    }
}

impl CameraOpener for ClipCamera {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&mut self) -> Result<Box<dyn Camera>, CameraError> {
        let source = self.source(false)?;
        let info = source.info();
        let mode = CameraMode {
            width: info.width,
            height: info.height,
            rate_hz: source.average_rate().filter(is_rate),
            format: "video file".into(),
        };
        Ok(Box::new(OpenClip {
            clip: Self {
                path: self.path.clone(),
                ..*self
            },
            source,
            mode,
            is_over: false,
            opened_at: Duration::ZERO,
            first: None,
            end: Duration::ZERO,
            ahead: VecDeque::new(),
            started: None,
            held: None,
        }))
    }
}

/// A picture of a clip, and from when to when it is shown; times count from the first picture, all rounds included.
struct Showing {
    picture: Picture,
    from: Duration,
    until: Duration,
}

struct OpenClip {
    clip: ClipCamera,
    source: VideoFileSource,
    mode: CameraMode,
    /// Nothing is left to decode.
    is_over: bool,
    /// When this round of the file began.
    opened_at: Duration,
    /// The file's own time of its first picture.
    first: Option<Duration>,
    /// When the last picture that was decoded ends.
    end: Duration,
    /// Pictures decoded ahead: the next, and the one behind it, which tells how long the next stays.
    ahead: VecDeque<Showing>,
    /// When the first picture was, or would have been, shown.
    started: Option<Instant>,
    /// The picture that is shown, if it stays long enough to be given again.
    held: Option<Picture>,
}

impl Camera for OpenClip {
    fn mode(&self) -> &CameraMode {
        &self.mode
    }

    fn next(&mut self) -> Result<Option<Captured>, CameraError> {
        while self.ahead.len() < 2 && !self.is_over {
            self.decode()?;
        }
        let now = Instant::now();
        let started = *self.started.get_or_insert(now);
        let from = self.ahead.front().map_or(self.end, |next| next.from);
        let due = started + from;
        if let Some(held) = &self.held
            && due.saturating_duration_since(now) > 2 * AGAIN
        {
            thread::sleep(AGAIN);
            return Ok(Some(taken_now(held.clone(), true)));
        }
        if now > due + Duration::from_secs(1) {
            // The machine was held up, or cannot decode in time: go on from here.
            self.started = now.checked_sub(from);
        }
        sleep_until(due);
        let Some(next) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let until = self.ahead.front().map_or(next.until, |behind| behind.from);
        let is_long = until.saturating_sub(next.from) > 2 * AGAIN;
        self.held = is_long.then(|| next.picture.clone());
        Ok(Some(taken_now(next.picture, false)))
    }
}

impl OpenClip {
    /// Decodes one picture, or begins anew, or finds that nothing is left.
    fn decode(&mut self) -> Result<(), CameraError> {
        match self.source.next()? {
            Packet::Frame(frame) => {
                let ticks = |ticks: i64| {
                    let seconds = ticks.max(0) as f64 * self.source.info().time_base.value();
                    Duration::from_secs_f64(seconds)
                };
                let at = ticks(frame.pts);
                let length = self.length(ticks(frame.duration));
                let first = *self.first.get_or_insert(at);
                let from = self.opened_at + at.saturating_sub(first);
                self.end = from + length;
                self.ahead.push_back(Showing {
                    picture: frame.picture,
                    from,
                    until: self.end,
                });
            }
            Packet::Track(_) | Packet::Reset(_) => {}
            // A clip without a single frame must not be opened for ever.
            Packet::End if self.clip.repeat && self.first.is_some() => {
                self.source = self.clip.source(false)?;
                self.opened_at = self.end;
                self.first = None;
            }
            Packet::End => self.is_over = true,
        }
        Ok(())
    }

    /// How long a picture is shown that the file shows for `said`.
    fn length(&self, said: Duration) -> Duration {
        if said.as_secs_f64() >= 1.0 / HIGHEST_RATE_HZ {
            return said.min(LONGEST);
        }
        self.mode.rate_hz.map_or(UNKNOWN_LENGTH, |rate_hz| {
            Duration::from_secs_f64(1.0 / rate_hz)
        })
    }
}

fn is_rate(rate_hz: &f64) -> bool {
    *rate_hz <= HIGHEST_RATE_HZ
}

fn taken_now(picture: Picture, is_repeated: bool) -> Captured {
    Captured {
        picture,
        at: Instant::now(),
        is_repeated,
    }
}

fn sleep_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}
