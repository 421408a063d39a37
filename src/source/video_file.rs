//! A video file as a source: demux, decode, convert, one frame at a time.
//!
//! The file is read packet by packet. Packets of sound and subtitles are handed on as they come; packets of the painted
//! video go through the decoder and a filter graph (see `look`) and come out as upright RGB pictures of one size. A few
//! frames are in hand at any time: memory does not grow with the length of the clip.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use ffmpeg_next::{
    self as ff, Error, Rational, Rescale, decoder, error::EAGAIN, format::context, frame,
};

use super::{
    FrameSource, Ratio, SourceError, StreamInfo, VideoSourceSettings, convert::Converter,
    look::Orientation, notes::Seen, open, packets::PacketClock, timeline::Timeline,
};
use crate::{
    frame::{Frame, Packet},
    media::{SourceDescription, TrackKind, TrackPacket, edge},
};

mod begin;

/// So many packets of other tracks are kept while the first picture is looked for: more than half an hour of sound.
const MOST_PACKETS_AHEAD: usize = 100_000;

/// A part begins with the picture that is on the screen already where its first one comes later than this, in seconds.
const LONGEST_WITHOUT: f64 = 0.1;

/// How long words stay on the screen at most, in seconds, as is usual.
const LONGEST_WORDS: f64 = 8.0;

/// The largest side, in pixels: what the encoders take.
const MAX_SIDE: usize = 16384;

/// A video file. See the module's text.
pub struct VideoFileSource {
    path: PathBuf,
    info: StreamInfo,
    description: SourceDescription,
    input: context::Input,
    decoder: decoder::Video,
    video: usize,
    time_base: Rational,
    /// For each stream of the file, its number among the tracks that travel along.
    track_of: Vec<Option<usize>>,
    clock: PacketClock,
    timeline: Timeline,
    cut: Cut,
    converter: Converter,
    decoded: frame::Video,
    /// The last frame before the wanted part, which may still be on the screen where the part begins.
    before: Option<Placed>,
    /// The frame behind it.
    behind: Option<Placed>,
    ready: VecDeque<Packet>,
    /// The last frame, until it is known how long it is shown.
    last: Option<Frame>,
    stage: Stage,
    /// Where the header says that the video ends, in seconds on the file's clock.
    promised_end: Option<f64>,
    seen: Seen,
}

/// What part of the file is wanted, in ticks of the video on the shifted clock (0 is the start of the part).
struct Cut {
    /// Taken from every stamp of the file, in ticks of the video.
    zero: i64,
    /// Where the part ends.
    end: Option<i64>,
    /// Whether frames before 0 are left out (a start was asked for).
    from_zero: bool,
    /// Which tracks have passed the end.
    passed: Vec<bool>,
}

/// How far the reading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Packets are read and decoded.
    Reading,
    /// The file is at its end; the decoder gives what it still holds.
    Draining,
    /// The wanted part has ended for the pictures, not yet for the sound.
    TracksOnly,
    /// The decoder is empty; the graph gives what it still holds.
    Flushing,
    /// Nothing follows.
    Done,
}

/// A frame that was decoded, its time stamp and how long it is shown.
struct Placed {
    frame: frame::Video,
    pts: i64,
    duration: i64,
}

/// One step of the decoder.
enum Step {
    /// A frame of the wanted part lies in `decoded`; its time stamp and duration.
    Frame(i64, i64),
    /// Something else happened.
    Again,
    /// No more frames.
    End,
}

impl VideoFileSource {
    /// Opens a file, chooses its video stream and decodes the first frame, so that the size is certain.
    ///
    /// # Errors
    /// When the file cannot be read or shows nothing, when the wanted part is empty or the pictures would be too small.
    pub fn open(path: &Path, settings: VideoSourceSettings) -> Result<Self, SourceError> {
        open::check_times(settings.start, settings.duration)?;
        let mut source = Self::assemble(path, open::open(path, &settings)?, &settings);
        if settings.start.is_some_and(|start| start > 0.0) && !open::is_read_once(path) {
            // A scout goes first: what it does to decoder and clock does not matter.
            let scout = Self::assemble(path, open::open(path, &settings)?, &settings);
            if scout.can_seek_to_start() {
                source
                    .seek_to_start()
                    .map_err(|source| SourceError::Media {
                        path: path.to_owned(),
                        action: "going to the start",
                        source,
                    })?;
            }
        }
        source.first_frame(&settings)?;
        Ok(source)
    }

    fn assemble(path: &Path, opened: open::Opened, settings: &VideoSourceSettings) -> Self {
        let time_base = opened.time_base;
        let (start, passed) = (opened.zero, vec![false; opened.description.tracks.len()]);
        let seconds = |seconds: f64| (seconds / f64::from(time_base)).round() as i64;
        let rate = opened.frame_rate;
        let step = rate.map_or(0, |rate| seconds(1.0 / f64::from(rate)));
        let cut = Cut {
            zero: start + settings.start.map_or(0, seconds),
            end: settings.duration.map(seconds),
            from_zero: settings.start.is_some(),
            passed,
        };
        let mut timeline = Timeline::new(step, 1.0 / f64::from(time_base));
        timeline.shift(cut.zero);
        Self {
            path: path.to_owned(),
            info: StreamInfo {
                width: 0,
                height: 0,
                time_base: time_base.into(),
                frame_rate: rate.map(Ratio::from),
                expected_frames: opened.expected_frames,
            },
            description: opened.description,
            clock: PacketClock::new(time_base, edge::has_absolute_clock(&opened.input)),
            input: opened.input,
            decoder: opened.decoder,
            video: opened.video,
            time_base,
            track_of: opened.track_of,
            timeline,
            cut,
            converter: Converter::new(path, (0, 0), Orientation::default(), settings.threads),
            decoded: frame::Video::empty(),
            before: None,
            behind: None,
            last: None,
            ready: VecDeque::new(),
            stage: Stage::Reading,
            promised_end: opened.promised_end,
            seen: Seen {
                gap: opened.gap,
                fixed: opened.notes,
                ..Seen::default()
            },
        }
    }

    /// What a sink needs to keep all that is not painted.
    pub fn description(&self) -> &SourceDescription {
        &self.description
    }

    /// Frames per second of the whole file, as far as its header or its beginning tells.
    pub fn average_rate(&self) -> Option<f64> {
        let rate = self.input.stream(self.video)?.avg_frame_rate();
        (rate.numerator() > 0 && rate.denominator() > 0).then(|| f64::from(rate))
    }

    /// Takes one frame from the decoder, or gives it one packet.
    fn step(&mut self) -> Step {
        if let Some(behind) = self.behind.take() {
            self.decoded = behind.frame;
            return Step::Frame(behind.pts, behind.duration);
        }
        if matches!(self.stage, Stage::Reading | Stage::Draining) {
            match self.decoder.receive_frame(&mut self.decoded) {
                Ok(()) => return self.placed(),
                Err(Error::Eof) => {
                    self.stage = Stage::Flushing;
                    // The film's last frame may be the only one of the part.
                    let before = self.before.take();
                    let shown = before.filter(|before| before.pts + before.duration > 0);
                    return shown.map_or(Step::End, |before| {
                        let end = before.pts + before.duration;
                        self.shown_from_start(before, end)
                    });
                }
                Err(Error::Other { errno: EAGAIN }) => {}
                Err(_) => self.seen.broken_packets += 1,
            }
        }
        match self.stage {
            Stage::Reading | Stage::TracksOnly => {
                self.read();
                Step::Again
            }
            Stage::Draining => Step::Again,
            Stage::Flushing | Stage::Done => Step::End,
        }
    }

    /// Places the frame in `decoded` in time, and decides whether it is wanted.
    fn placed(&mut self) -> Step {
        let reported = self.decoded.timestamp().or(self.decoded.pts());
        let duration = edge::duration(&self.decoded);
        let pts = self.timeline.place(reported);
        let shown = if duration > 0 {
            duration
        } else {
            self.timeline.step()
        };
        if self.cut.from_zero && pts < 0 {
            self.seen.last_end = pts;
            let frame = std::mem::replace(&mut self.decoded, frame::Video::empty());
            self.before = Some(Placed {
                frame,
                pts,
                duration: shown,
            });
            return Step::Again;
        }
        let before = self.before.take();
        if self.cut.end.is_some_and(|end| pts >= end) {
            self.seen.beyond_end = true;
            self.stage = Stage::TracksOnly;
            self.skip_passed_tracks();
            return before.map_or(Step::Again, |before| self.shown_from_start(before, pts));
        }
        self.seen.last_end = pts + shown;
        let damaged = self.decoded.is_corrupt() || self.decoded.has_decode_errors();
        self.seen.damaged_frames += u64::from(damaged);
        let duration = match self.cut.end {
            Some(end) => shown.min(end - pts),
            None => shown,
        };
        let longest = LONGEST_WITHOUT / f64::from(self.time_base);
        let Some(before) = before.filter(|_| pts as f64 > longest) else {
            return Step::Frame(pts, duration);
        };
        let frame = std::mem::replace(&mut self.decoded, frame::Video::empty());
        self.behind = Some(Placed {
            frame,
            pts,
            duration,
        });
        self.shown_from_start(before, pts)
    }

    /// A frame from before the wanted part that is on the screen from its start until `end`.
    fn shown_from_start(&mut self, before: Placed, end: i64) -> Step {
        self.decoded = before.frame;
        let end = self.cut.end.map_or(end, |cut| cut.min(end));
        self.seen.last_end = self.seen.last_end.max(end);
        Step::Frame(0, end)
    }

    /// Reads one packet and gives it to the decoder or to the track it belongs to.
    fn read(&mut self) {
        let mut packet = ff::Packet::empty();
        match packet.read(&mut self.input) {
            Ok(()) => {}
            Err(Error::Other { errno: EAGAIN }) => return,
            Err(error) => {
                if error != Error::Eof {
                    self.seen.read_error = Some(error);
                }
                self.seen.file_ended = self.stage == Stage::Reading;
                self.stage = match self.stage {
                    Stage::Reading if self.decoder.send_eof().is_ok() => Stage::Draining,
                    _ => Stage::Flushing,
                };
                return;
            }
        }
        let stream = packet.stream();
        if stream == self.video {
            if self.stage == Stage::Reading {
                self.clock.mend(&mut packet, self.time_base);
                if self.decoder.send_packet(&packet).is_err() {
                    self.seen.broken_packets += 1;
                }
            }
        } else if let Some(&Some(track)) = self.track_of.get(stream) {
            self.pass(track, packet);
        }
    }

    /// After the last frame: is much of what the header promises missing?
    fn look_for_cut(&mut self) {
        let Some(promised) = self.promised_end else {
            return;
        };
        let tick = f64::from(self.time_base);
        let came = (self.seen.last_end + self.cut.zero) as f64 * tick;
        if self.seen.file_ended && promised - came > (0.02 * promised).max(0.5) {
            self.seen.cut_off = Some((promised, came));
        }
    }

    /// Hands a packet of sound or subtitles on, if it belongs to the wanted part.
    fn pass(&mut self, track: usize, mut packet: ff::Packet) {
        let Some(about) = self.description.tracks.get(track) else {
            return;
        };
        let base = Rational::from(about.time_base);
        if about.kind == TrackKind::Audio {
            self.clock.mend(&mut packet, base);
        } else {
            self.clock.follow(&mut packet, base);
        }
        let zero = self.cut.zero.rescale(self.time_base, base);
        packet.set_pts(packet.pts().map(|pts| pts - zero));
        packet.set_dts(packet.dts().map(|dts| dts - zero));
        if let Some(at) = packet.pts().or(packet.dts()) {
            if self.cut.from_zero && at < 0 {
                let rest = at.saturating_add(packet.duration());
                if about.kind == TrackKind::Audio || rest <= 0 {
                    return;
                }
                // Words that are on the screen already where the part begins.
                packet.set_pts(Some(0));
                packet.set_dts(Some(0));
                packet.set_duration(rest);
            }
            let end = self.cut.end.map(|end| end.rescale(self.time_base, base));
            // Words that would stay beyond the end of the part.
            if let Some(end) = end.filter(|_| about.kind == TrackKind::Subtitle) {
                let left = end.saturating_sub(at.max(0)).max(0);
                packet.set_duration(packet.duration().min(left));
            }
            if end.is_some_and(|end| at >= end) {
                if let Some(passed) = self.cut.passed.get_mut(track) {
                    *passed = true;
                }
                self.skip_passed_tracks();
                return;
            }
        }
        self.ready
            .push_back(Packet::Track(TrackPacket { track, packet }));
    }

    /// Sends the frame in `decoded` on its way to RGB.
    fn convert(&mut self, pts: i64, duration: i64) -> Result<(), SourceError> {
        self.converter.push(
            &mut self.decoded,
            pts,
            duration,
            &mut self.seen,
            &mut self.ready,
        )
    }

    /// The part's last frame: what a decoder says of its duration is a guess, but it stays until the part ends where another one
    /// follows in the film.
    fn until_the_end(&self, mut frame: Frame) -> Frame {
        if let Some(end) = self.cut.end.filter(|_| self.seen.beyond_end) {
            frame.duration = end - frame.pts;
        }
        frame
    }

    /// Ends the reading once pictures and sound have passed the end of the wanted part. Subtitles are not waited for:
    /// their next packet may be minutes away.
    fn skip_passed_tracks(&mut self) {
        let waiting = self
            .description
            .tracks
            .iter()
            .zip(&self.cut.passed)
            .any(|(track, passed)| track.kind == TrackKind::Audio && !passed);
        if self.stage == Stage::TracksOnly && !waiting {
            self.stage = Stage::Flushing;
        }
    }
}

impl FrameSource for VideoFileSource {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Packet, SourceError> {
        loop {
            match self.ready.pop_front() {
                Some(Packet::Frame(frame)) => match self.last.replace(frame) {
                    Some(last) => return Ok(Packet::Frame(last)),
                    None => continue,
                },
                Some(packet @ Packet::Track(_)) => return Ok(packet),
                Some(packet) => {
                    let Some(last) = self.last.take() else {
                        return Ok(packet);
                    };
                    self.ready.push_front(packet);
                    return Ok(Packet::Frame(last));
                }
                None => {}
            }
            if self.stage == Stage::Done {
                return Ok(match self.last.take() {
                    Some(last) => Packet::Frame(self.until_the_end(last)),
                    None => Packet::End,
                });
            }
            match self.step() {
                Step::Frame(pts, duration) => self.convert(pts, duration)?,
                Step::Again => {}
                Step::End => {
                    self.look_for_cut();
                    self.converter.end(&mut self.ready)?;
                    self.stage = Stage::Done;
                }
            }
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.seen.fixed.clone();
        notes.extend(self.seen.told(&self.timeline, self.clock.jumps));
        notes
    }
}
