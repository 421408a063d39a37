//! Cameras for machines without one: the test card, and a video file played in real time.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{
    Camera, CameraError, CameraMode, CameraOpener, Captured, FrameSource, Sizing, TestCard,
    VideoFileSource, VideoSourceSettings,
};
use crate::{frame::Packet, media::TrackKind};

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
                rate_hz: self.rate_hz,
                format: "test card".into(),
            },
            started: None,
            next: 0,
        }))
    }
}

struct OpenTestCamera {
    card: TestCard,
    mode: CameraMode,
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
        let index = (self.next as f64 / self.mode.rate_hz * 30.0).round() as u64;
        // Drawn ahead of its time, as a sensor exposes ahead of the moment at which it delivers.
        let picture = self.card.picture(index);
        let due = started + Duration::from_secs_f64(self.next as f64 / self.mode.rate_hz);
        sleep_until(due);
        self.next += 1;
        // A program that was held up (a laptop that slept) does not race through what it missed.
        let late = Instant::now().saturating_duration_since(due).as_secs_f64();
        self.next += (late * self.mode.rate_hz) as u64;
        Ok(Some(Captured {
            picture,
            at: Instant::now(),
        }))
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
            rate_hz: info.frame_rate.map_or(30.0, super::Ratio::value),
            format: "video file".into(),
        };
        Ok(Box::new(OpenClip {
            clip: Self {
                path: self.path.clone(),
                ..*self
            },
            source,
            mode,
            started: None,
            frames: 0,
        }))
    }
}

struct OpenClip {
    clip: ClipCamera,
    source: VideoFileSource,
    mode: CameraMode,
    /// When the frame with time stamp 0 was, or would have been, due.
    started: Option<Instant>,
    frames: u64,
}

impl Camera for OpenClip {
    fn mode(&self) -> &CameraMode {
        &self.mode
    }

    fn next(&mut self) -> Result<Option<Captured>, CameraError> {
        loop {
            match self.source.next()? {
                Packet::Frame(frame) => {
                    self.frames += 1;
                    let seconds = frame.pts as f64 * self.source.info().time_base.value();
                    let offset = Duration::from_secs_f64(seconds.max(0.0));
                    let now = Instant::now();
                    let started = *self
                        .started
                        .get_or_insert_with(|| now.checked_sub(offset).unwrap_or(now));
                    let due = started + offset;
                    if now > due + Duration::from_secs(1) {
                        // The machine was held up, or cannot decode in time: go on from here.
                        self.started = now.checked_sub(offset);
                    }
                    sleep_until(due);
                    return Ok(Some(Captured {
                        picture: frame.picture,
                        at: Instant::now(),
                    }));
                }
                Packet::Track(_) | Packet::Reset(_) => {}
                // A clip without a single frame must not be opened for ever.
                Packet::End if self.clip.repeat && self.frames > 0 => {
                    self.source = self.clip.source(false)?;
                    self.started = None;
                    self.frames = 0;
                }
                Packet::End => return Ok(None),
            }
        }
    }
}

fn sleep_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        thread::sleep(left);
    }
}
