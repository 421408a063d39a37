//! The thread of a live session that records: paintings and, if there is a microphone, its sound become a file.

use std::{path::PathBuf, sync::Arc, time::Instant};

use crossbeam_channel::{Receiver, never, select};

use super::{LiveError, OpenRecording};
use crate::{
    frame::{Frame, Picture},
    live::{Canvas, Painting, Size},
    media::{Track, TrackPacket},
    pipeline::{Outcome, StageStats},
    sink::{FrameSink, SinkError},
    source::{CapturedSound, Ratio, StreamInfo},
};

/// What a recording came to.
pub(super) struct Recorded {
    pub(super) stats: StageStats,
    pub(super) path: PathBuf,
    pub(super) notes: Vec<String>,
}

/// Time stamps of recordings count milliseconds, as Matroska does.
const RECORD_CLOCK: Ratio = Ratio { num: 1, den: 1000 };

/// What comes into a recording.
enum Recordable {
    Painting(Arc<Painting>),
    Sound(CapturedSound),
}

/// Waits for the next of both links; `None` when no painting follows.
fn next_of(
    from_paint: &Receiver<Arc<Painting>>,
    from_microphone: &mut Receiver<CapturedSound>,
) -> Option<Recordable> {
    loop {
        select! {
            recv(from_paint) -> painting => return painting.ok().map(Recordable::Painting),
            recv(from_microphone) -> captured => match captured {
                Ok(captured) => return Some(Recordable::Sound(captured)),
                Err(_) => *from_microphone = never(),
            },
        }
    }
}

/// Records until the link of paintings is closed. However it is closed, what came until then is a whole recording.
pub(super) fn record(
    from_paint: Receiver<Arc<Painting>>,
    sound: Option<(Track, Receiver<CapturedSound>)>,
    path: PathBuf,
    open: &OpenRecording,
) -> Outcome<Recorded, LiveError> {
    let mut stats = StageStats::default();
    let mut notes = Vec::new();
    let mut running: Option<Running> = None;
    let (track, mut from_microphone) = match sound {
        Some((track, link)) => (Some(track), link),
        None => (None, never()),
    };
    while let Some(next) = next_of(&from_paint, &mut from_microphone) {
        let written = match (next, &mut running) {
            (Recordable::Sound(captured), Some(running)) => running.sound(captured),
            // Nothing is to be seen yet.
            (Recordable::Sound(_), None) => Ok(()),
            (Recordable::Painting(painting), Some(running)) => {
                running.painting(&painting, &mut stats)
            }
            (Recordable::Painting(painting), none) => {
                let full = painting.full();
                let info = StreamInfo {
                    width: full.width(),
                    height: full.height(),
                    time_base: RECORD_CLOCK,
                    frame_rate: None,
                    expected_frames: None,
                };
                open(&path, &info, track.as_ref()).and_then(|sink| {
                    let running = none.insert(Running {
                        sink,
                        size: (info.width, info.height),
                        start: painting.captured,
                        last: -1,
                    });
                    running.painting(&painting, &mut stats)
                })
            }
        };
        if let Err(error) = written {
            return Outcome::Failed(error.into());
        }
    }
    if let Some(mut running) = running {
        // Of two links that were closed at once that of the sound may hold some of it yet.
        let heard = from_microphone.try_iter();
        let written = { heard }.try_for_each(|captured| running.sound(captured));
        let mut sink = running.sink;
        if let Err(error) = written.and_then(|()| stats.busy(|| sink.finish())) {
            return Outcome::Failed(error.into());
        }
        notes = sink.notes();
    }
    Outcome::Finished(Recorded { stats, path, notes })
}

/// A recording with at least one picture.
struct Running {
    sink: Box<dyn FrameSink>,
    size: Size,
    /// When its first picture was captured.
    start: Instant,
    /// The last picture's time stamp.
    last: i64,
}

impl Running {
    fn painting(&mut self, painting: &Painting, stats: &mut StageStats) -> Result<(), SinkError> {
        let since = painting.captured.saturating_duration_since(self.start);
        let pts = (since.as_millis() as i64).max(self.last + 1);
        let frame = Frame {
            picture: fitted(painting.full(), self.size),
            pts,
            duration: 0,
            source_index: painting.index,
            seq: stats.frames(),
        };
        self.last = pts;
        stats.time_frame(|| self.sink.frame(frame))
    }

    /// Sound from before the first picture is not kept.
    fn sound(&mut self, captured: CapturedSound) -> Result<(), SinkError> {
        let Some(since) = captured.at.checked_duration_since(self.start) else {
            return Ok(());
        };
        let mut packet = captured.packet;
        let stamp = Some(since.as_micros() as i64);
        packet.set_pts(stamp);
        packet.set_dts(stamp);
        self.sink.track(TrackPacket { track: 0, packet })
    }
}

/// A picture at the size of the recording: the same, unless the camera came back with another size.
pub(super) fn fitted(picture: &Picture, (width, height): Size) -> Picture {
    if (picture.width(), picture.height()) == (width, height) {
        return picture.clone();
    }
    let mut canvas = Canvas::default();
    canvas.resize(width, height);
    canvas.show(picture, None, (picture.width(), picture.height()));
    let mut out = Picture::black(width, height);
    let (pixels, _) = out.rgb_mut().as_chunks_mut::<3>();
    for (rgb, pixel) in pixels.iter_mut().zip(canvas.pixels()) {
        *rgb = [(pixel >> 16) as u8, (pixel >> 8) as u8, *pixel as u8];
    }
    out
}
