//! Live sessions with stages that behave badly: each stalls, fails and panics in turn, and the session ends or recovers
//! within two seconds, with the cause.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod sessions;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use allaprima::{
    frame::{Frame, Picture},
    live::{Canvas, Desk, DeskSettings, Key, LivePainter, SizeWish},
    media::{Track, TrackKind, TrackPacket},
    models::ModelStore,
    pipeline::{
        Control,
        live::{LiveConfig, LiveError, LiveParts, LiveReport, Notice, run},
    },
    sink::{FrameSink, Screen, SinkError, VirtualCamera},
    source::{
        Camera, CameraError, CameraMode, CameraOpener, Captured, CapturedSound, Microphone,
        MicrophoneError, Ratio, StreamInfo,
    },
    style::{Gallery, StyleChoice},
    stylize::{Colors, StylizeError, Stylizer},
};
use candle_core::Device;

/// What a stage does when it comes to a certain picture, and from then on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Fault {
    #[default]
    None,
    /// Hangs for good.
    Stall(u64),
    /// Hangs for this long, once.
    Pause(u64, Duration),
    Fail(u64),
    Panic(u64),
    /// Takes this long, always.
    Slow(Duration),
    /// A film that stands still from there on.
    Still(u64),
}

impl Fault {
    /// Whether to fail now.
    fn strike(self, index: u64) -> bool {
        match self {
            Self::None => false,
            Self::Stall(at) if index == at => {
                thread::sleep(Duration::from_secs(60));
                false
            }
            Self::Pause(at, time) if index == at => {
                thread::sleep(time);
                false
            }
            Self::Fail(at) => index == at,
            Self::Panic(at) if index == at => panic!("picture {index} is cursed"),
            Self::Slow(time) => {
                thread::sleep(time);
                false
            }
            _ => false,
        }
    }
}

/// A camera of 100 small pictures a second; red counts them.
struct FakeOpener {
    fault: Fault,
    /// How often opening fails before it succeeds, from the time on at which the camera failed.
    absent: u32,
    next: Arc<AtomicU64>,
    opened: u32,
}

struct FakeCamera {
    fault: Fault,
    mode: CameraMode,
    next: Arc<AtomicU64>,
}

fn unplugged() -> CameraError {
    CameraError::Unplugged {
        camera: "fake".into(),
        detail: "No such device (os error 19)".into(),
    }
}

impl CameraOpener for FakeOpener {
    fn name(&self) -> String {
        "fake".into()
    }

    fn open(&mut self) -> Result<Box<dyn Camera>, CameraError> {
        if self.opened > 0 && self.absent > 0 {
            self.absent -= 1;
            return Err(CameraError::Missing {
                camera: "fake".into(),
                found: "none".into(),
            });
        }
        self.opened += 1;
        Ok(Box::new(FakeCamera {
            fault: self.fault,
            mode: CameraMode {
                width: 48,
                height: 32,
                rate_hz: Some(100.0),
                format: "fake".into(),
            },
            next: self.next.clone(),
        }))
    }
}

impl Camera for FakeCamera {
    fn mode(&self) -> &CameraMode {
        &self.mode
    }

    fn next(&mut self) -> Result<Option<Captured>, CameraError> {
        thread::sleep(Duration::from_millis(10));
        let index = self.next.fetch_add(1, Ordering::SeqCst);
        if self.fault.strike(index) {
            return Err(unplugged());
        }
        let rgb = [index as u8, 0, 0].repeat(48 * 32);
        Ok(Some(Captured {
            picture: Picture::new(48, 32, rgb).unwrap(),
            at: Instant::now(),
            is_repeated: matches!(self.fault, Fault::Still(at) if index >= at),
        }))
    }
}

struct FakePainter {
    fault: Fault,
    next: u64,
}

impl Stylizer for FakePainter {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let index = self.next;
        self.next += 1;
        if self.fault.strike(index) {
            return Err(StylizeError::TooSmall {
                width: 1,
                height: 1,
            });
        }
        picture
            .rgb_mut()
            .chunks_exact_mut(3)
            .for_each(|rgb| rgb[1] = 200);
        Ok(())
    }
}

/// A window that shows into memory, and presses keys at certain pictures.
#[derive(Default)]
struct FakeScreen {
    fault: Fault,
    keys: VecDeque<(u64, Key)>,
    closed_at: Option<u64>,
    shown: u64,
    reds: Arc<Mutex<Vec<u8>>>,
    size: (usize, usize),
    /// Whether it can fill the screen.
    fills: bool,
}

impl Screen for FakeScreen {
    fn size(&self) -> (usize, usize) {
        if self.size == (0, 0) {
            (48, 32)
        } else {
            self.size
        }
    }

    fn pump(&mut self) -> Result<Option<Vec<Key>>, SinkError> {
        if self.closed_at.is_some_and(|at| self.shown >= at) {
            return Ok(None);
        }
        let mut pressed = Vec::new();
        while self.keys.front().is_some_and(|(at, _)| self.shown >= *at) {
            pressed.extend(self.keys.pop_front().map(|(_, key)| key));
        }
        Ok(Some(pressed))
    }

    fn show(&mut self, canvas: &Canvas) -> Result<(), SinkError> {
        let index = self.shown;
        self.shown += 1;
        if self.fault.strike(index) {
            return Err(SinkError::Failed("the window is lost".into()));
        }
        assert_eq!((canvas.width(), canvas.height()), self.size());
        self.reds
            .lock()
            .unwrap()
            .push((canvas.pixels()[0] >> 16) as u8);
        Ok(())
    }

    fn full_screen(&mut self, _on: bool) -> bool {
        self.fills
    }
}

#[derive(Clone, Default)]
struct Written {
    stamps: Arc<Mutex<Vec<i64>>>,
    /// Time stamps of the sound in microseconds, and the packets' numbers.
    sound: Arc<Mutex<Vec<(i64, u8)>>>,
    finished: Arc<AtomicU64>,
}

struct FakeRecording {
    fault: Fault,
    written: Written,
    next: u64,
}

impl FrameSink for FakeRecording {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        let index = self.next;
        self.next += 1;
        if self.fault.strike(index) {
            return Err(SinkError::Failed("the disk is full".into()));
        }
        self.written.stamps.lock().unwrap().push(frame.pts);
        Ok(())
    }

    fn track(&mut self, packet: TrackPacket) -> Result<(), SinkError> {
        let (pts, data) = (packet.packet.pts().unwrap(), packet.packet.data().unwrap());
        self.written.sound.lock().unwrap().push((pts, data[0]));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.written.finished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

struct FakeDevice {
    fault: Fault,
    written: Arc<Mutex<Vec<(Instant, u8)>>>,
    next: u64,
}

impl VirtualCamera for FakeDevice {
    fn name(&self) -> String {
        "fake".into()
    }

    fn open(&mut self, width: usize, height: usize, _rate_hz: f64) -> Result<(), SinkError> {
        assert_eq!((width % 2, height % 2), (0, 0));
        Ok(())
    }

    fn write(&mut self, picture: &Picture) -> Result<(), SinkError> {
        let index = self.next;
        self.next += 1;
        if self.fault.strike(index) {
            return Err(SinkError::Failed("the device is gone".into()));
        }
        self.written
            .lock()
            .unwrap()
            .push((Instant::now(), picture.rgb()[0]));
        Ok(())
    }
}

/// Sound in packets of 10 ms whose first byte counts them.
struct FakeMicrophone {
    fault: Fault,
    track: Track,
    next: u64,
}

impl Microphone for FakeMicrophone {
    fn track(&self) -> &Track {
        &self.track
    }

    fn next(&mut self) -> Result<Option<CapturedSound>, MicrophoneError> {
        thread::sleep(Duration::from_millis(10));
        let index = self.next;
        self.next += 1;
        if self.fault.strike(index) {
            return Err(MicrophoneError::Lost {
                name: "fake".into(),
                source: ffmpeg_next::Error::Eof,
            });
        }
        Ok(Some(CapturedSound {
            packet: ffmpeg_next::Packet::copy(&[index as u8]),
            at: Instant::now(),
        }))
    }
}

/// A session and what it left behind.
#[derive(Default)]
struct Session {
    camera: Fault,
    absent: u32,
    painter: Fault,
    screen: Option<FakeScreen>,
    recording: Option<Fault>,
    microphone: Option<Fault>,
    device: Option<Fault>,
    duration: Option<Duration>,
    paint_limit: Option<Duration>,
    full_screen: bool,
}

struct Ended {
    result: Result<LiveReport, LiveError>,
    took: Duration,
    notices: Vec<Notice>,
    written: Written,
    fed: Vec<(Instant, u8)>,
    stuck: Option<LiveError>,
    reds: Vec<u8>,
}

impl Ended {
    fn error(&self) -> String {
        match &self.result {
            Ok(_) => panic!("it should have failed"),
            Err(error) => error.to_string(),
        }
    }

    fn report(&self) -> &LiveReport {
        self.result.as_ref().unwrap()
    }

    fn told(&self, part: &str) -> bool {
        self.notices.iter().any(|n| n.text().contains(part))
    }
}

fn desk() -> Desk {
    let gallery = Gallery::new(ModelStore::embedded().unwrap(), Device::Cpu).unwrap();
    Desk::new(
        Arc::new(gallery),
        DeskSettings {
            style: StyleChoice::single(0),
            strength: 1.0,
            opacity: 1.0,
            colors: Colors::Style,
            saturation: 1.0,
            steady: None,
            size: SizeWish::Auto,
            mirror: false,
        },
    )
    .unwrap()
}

/// Runs a session on a thread of its own; a session that does not end in ten seconds fails the test.
fn session(session: Session) -> Ended {
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new()
        .name("session".into())
        .spawn(move || {
            let ended = run_here(session);
            let _ = sender.send(ended);
        })
        .unwrap();
    match receiver.recv_timeout(Duration::from_secs(10)) {
        Ok(ended) => ended,
        Err(RecvTimeoutError::Timeout) => panic!("the session hangs"),
        Err(RecvTimeoutError::Disconnected) => panic!("the session panicked"),
    }
}

fn run_here(session: Session) -> Ended {
    let desk = desk();
    let painter = FakePainter {
        fault: session.painter,
        next: 0,
    };
    let written = Written::default();
    let fed = Arc::new(Mutex::new(Vec::new()));
    let stuck = Arc::new(Mutex::new(None));
    let recording = session.recording;
    let reds = session
        .screen
        .as_ref()
        .map(|screen| screen.reds.clone())
        .unwrap_or_default();
    let parts = LiveParts {
        camera: Box::new(FakeOpener {
            fault: session.camera,
            absent: session.absent,
            next: Arc::default(),
            opened: 0,
        }),
        painter: LivePainter::new(Box::new(painter), desk.wanted(), 30.0, 1),
        desk,
        screen: session
            .screen
            .map(|screen| Box::new(screen) as Box<dyn Screen>),
        virtual_camera: session.device.map(|fault| {
            Box::new(FakeDevice {
                fault,
                written: fed.clone(),
                next: 0,
            }) as Box<dyn VirtualCamera>
        }),
        microphone: session.microphone.map(|fault| {
            Box::new(FakeMicrophone {
                fault,
                track: Track {
                    kind: TrackKind::Audio,
                    parameters: ffmpeg_next::codec::Parameters::new(),
                    time_base: Ratio {
                        num: 1,
                        den: 1_000_000,
                    },
                    metadata: Vec::new(),
                    disposition: 0,
                    lead_in: 0,
                },
                next: 0,
            }) as Box<dyn Microphone>
        }),
        open_recording: {
            let written = written.clone();
            let has_sound = session.microphone.is_some();
            Arc::new(move |_: &Path, info: &StreamInfo, track: Option<&Track>| {
                assert_eq!(track.is_some(), has_sound);
                assert_eq!((info.width, info.height), (48, 32));
                Ok(Box::new(FakeRecording {
                    fault: recording.unwrap_or_default(),
                    written: written.clone(),
                    next: 0,
                }) as Box<dyn FrameSink>)
            })
        },
        recording_name: Box::new(|| PathBuf::from("a.mkv")),
        save_screenshot: Arc::new(|_| Ok(PathBuf::from("a.png"))),
        on_stuck: {
            let stuck = stuck.clone();
            Box::new(move |error| *stuck.lock().unwrap() = Some(error))
        },
    };
    let config = LiveConfig {
        duration: Some(session.duration.unwrap_or(Duration::from_secs(1))),
        record: recording.is_some(),
        full_screen: session.full_screen,
        camera_silence: Duration::from_millis(300),
        paint_silence: Duration::from_millis(300),
        paint_limit: session.paint_limit.unwrap_or(Duration::from_secs(10)),
        present_limit: Duration::from_millis(500),
        finish: Duration::from_millis(1500),
        ..LiveConfig::default()
    };
    let mut notices = Vec::new();
    let started = Instant::now();
    let result = run(parts, &config, &Arc::new(Control::default()), &mut |n| {
        notices.push(n.clone());
    });
    Ended {
        result,
        took: started.elapsed(),
        notices,
        written,
        fed: std::mem::take(&mut fed.lock().unwrap()),
        stuck: stuck.lock().unwrap().take(),
        reds: std::mem::take(&mut reds.lock().unwrap()),
    }
}

const SOON: Duration = Duration::from_secs(2);
