//! The pipeline with stages that behave badly: every run ends, with its cause, within seconds.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod steadying;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::Duration,
};

use allaprima::{
    frame::{Frame, Packet, Picture, ResetReason},
    media::TrackPacket,
    pipeline::{self, Control, LINK_CAPACITY, PipelineError, Report, Steadying},
    sink::{FrameSink, SinkError},
    source::{FrameSource, Ratio, SourceError, StreamInfo},
    stylize::{Along, Finisher, Passthrough, Pending, StylizeError, Stylizer},
    temporal::{flow::FlowSettings, steady::SteadySettings},
};

/// What a stage does when it comes to a certain frame.
#[derive(Clone, Copy, Default)]
enum Fault {
    #[default]
    None,
    Fail(u64),
    Panic(u64),
    Slow(Duration),
    /// Of a painter: the picture is broken off, and none may follow.
    BreakOff(u64),
}

impl Fault {
    /// Whether to fail now.
    fn strike(self, index: u64) -> bool {
        match self {
            Self::Fail(at) => index == at,
            Self::Panic(at) if index == at => panic!("frame {index} is cursed"),
            Self::Slow(time) => {
                thread::sleep(time);
                false
            }
            _ => false,
        }
    }
}

struct Source {
    info: StreamInfo,
    frames: u64,
    next: u64,
    fault: Fault,
    yielded: Arc<AtomicU64>,
}

impl FrameSource for Source {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Packet, SourceError> {
        if self.next == self.frames {
            return Ok(Packet::End);
        }
        let index = self.next;
        self.next += 1;
        if self.fault.strike(index) {
            return Err(source_error());
        }
        self.yielded.fetch_add(1, Ordering::SeqCst);
        let picture = Picture::new(2, 1, vec![index as u8; 6]).unwrap();
        Ok(Packet::Frame(Frame {
            picture,
            pts: index as i64,
            duration: 1,
            source_index: index,
            seq: index,
        }))
    }

    fn notes(&self) -> Vec<String> {
        vec!["from the source".into()]
    }
}

fn source_error() -> SourceError {
    SourceError::Failed("the source failed".into())
}

/// Adds 100 to every value, so that a frame that was not painted shows.
struct Painter {
    fault: Fault,
    next: u64,
}

impl Stylizer for Painter {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let index = self.next;
        self.next += 1;
        if let Fault::BreakOff(at) = self.fault
            && index >= at
        {
            assert_eq!(
                index, at,
                "painted on behind the picture that was broken off"
            );
            return Err(StylizeError::Stopped);
        }
        if self.fault.strike(index) {
            return Err(StylizeError::TooSmall {
                width: 2,
                height: 1,
            });
        }
        picture
            .rgb_mut()
            .iter_mut()
            .for_each(|value| *value = value.wrapping_add(100));
        Ok(())
    }
}

#[derive(Clone, Default)]
struct Written {
    frames: Arc<Mutex<Vec<(i64, u8)>>>,
    finished: Arc<AtomicBool>,
}

struct Sink {
    written: Written,
    fault: Fault,
    fail_at_finish: bool,
}

impl FrameSink for Sink {
    fn frame(&mut self, frame: Frame) -> Result<(), SinkError> {
        if self.fault.strike(frame.seq) {
            return Err(sink_error());
        }
        self.written
            .frames
            .lock()
            .unwrap()
            .push((frame.pts, frame.picture.rgb()[0]));
        Ok(())
    }

    fn track(&mut self, _packet: TrackPacket) -> Result<(), SinkError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if self.fail_at_finish {
            return Err(sink_error());
        }
        self.written.finished.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn notes(&self) -> Vec<String> {
        vec!["from the sink".into()]
    }
}

fn sink_error() -> SinkError {
    SinkError::Exists {
        path: "out.mp4".into(),
    }
}

#[derive(Default)]
struct Case {
    frames: u64,
    source: Fault,
    painter: Fault,
    sink: Fault,
    fail_at_finish: bool,
    /// Stop from outside once this many frames are written.
    stop_after: Option<u64>,
}

struct Came {
    result: Result<Report, PipelineError>,
    written: Vec<(i64, u8)>,
    finished: bool,
    yielded: u64,
}

/// Runs a case under a deadlock timeout of ten seconds.
fn run(case: Case) -> Came {
    let written = Written::default();
    let yielded = Arc::new(AtomicU64::new(0));
    let info = StreamInfo {
        width: 2,
        height: 1,
        time_base: Ratio { num: 1, den: 25 },
        frame_rate: None,
        expected_frames: None,
    };
    let source = Source {
        info,
        frames: case.frames,
        next: 0,
        fault: case.source,
        yielded: yielded.clone(),
    };
    let painter = Box::new(Painter {
        fault: case.painter,
        next: 0,
    });
    let sink = Sink {
        written: written.clone(),
        fault: case.sink,
        fail_at_finish: case.fail_at_finish,
    };
    let control = Arc::new(Control::default());
    let (done, wait) = sync_channel(1);
    let inner = control.clone();
    thread::Builder::new()
        .name("case".into())
        .spawn(move || {
            done.send(pipeline::run(source, painter, sink, &inner))
                .unwrap()
        })
        .unwrap();
    if let Some(after) = case.stop_after {
        while control.frames_painted() < after {
            thread::sleep(Duration::from_millis(1));
        }
        control.stop();
    }
    let result = wait
        .recv_timeout(Duration::from_secs(10))
        .expect("the pipeline hangs");
    let frames = written.frames.lock().unwrap().clone();
    Came {
        result,
        written: frames,
        finished: written.finished.load(Ordering::SeqCst),
        yielded: yielded.load(Ordering::SeqCst),
    }
}

#[test]
fn every_frame_arrives_painted_and_in_order() {
    let came = run(Case {
        frames: 50,
        ..Case::default()
    });
    let report = came.result.unwrap();
    assert_eq!(
        came.written,
        (0..50).map(|i| (i64::from(i), 100 + i)).collect::<Vec<_>>()
    );
    assert!(came.finished && !report.stopped);
    assert_eq!(report.frames, 50);
    assert_eq!(report.notes, ["from the source", "from the sink"]);
    let stages: Vec<_> = report
        .stages
        .iter()
        .map(|(name, stats)| (*name, stats.frames))
        .collect();
    assert_eq!(stages, [("decode", 50), ("paint", 50), ("encode", 50)]);
}

#[test]
fn no_frame_at_all_is_a_clean_end() {
    let came = run(Case::default());
    assert_eq!(came.result.unwrap().frames, 0);
    assert!(came.finished);
}

#[test]
fn the_stage_that_fails_is_the_cause_and_nothing_is_completed() {
    for at in [0, 1, 20] {
        let came = run(Case {
            frames: 30,
            source: Fault::Fail(at),
            ..Case::default()
        });
        assert!(
            matches!(came.result, Err(PipelineError::Source(_))),
            "{:?}",
            came.result
        );
        assert!(!came.finished);
        let came = run(Case {
            frames: 30,
            painter: Fault::Fail(at),
            ..Case::default()
        });
        assert!(
            matches!(came.result, Err(PipelineError::Stylize(_))),
            "{:?}",
            came.result
        );
        assert!(!came.finished);
        let came = run(Case {
            frames: 30,
            sink: Fault::Fail(at),
            ..Case::default()
        });
        assert!(
            matches!(came.result, Err(PipelineError::Sink(_))),
            "{:?}",
            came.result
        );
        assert!(!came.finished);
    }
    let came = run(Case {
        frames: 3,
        fail_at_finish: true,
        ..Case::default()
    });
    assert!(matches!(came.result, Err(PipelineError::Sink(_))));
    assert!(!came.finished);
}

#[test]
fn a_panic_in_any_stage_ends_the_run_with_its_words() {
    let cases = [
        (
            "decode",
            Case {
                frames: 30,
                source: Fault::Panic(9),
                ..Case::default()
            },
        ),
        (
            "paint",
            Case {
                frames: 30,
                painter: Fault::Panic(9),
                ..Case::default()
            },
        ),
        (
            "encode",
            Case {
                frames: 30,
                sink: Fault::Panic(9),
                ..Case::default()
            },
        ),
    ];
    for (name, case) in cases {
        let came = run(case);
        match came.result {
            Err(PipelineError::Panicked { stage, message }) => {
                assert_eq!((stage, message.as_str()), (name, "frame 9 is cursed"));
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(!came.finished);
    }
}

#[test]
fn a_panic_outranks_a_failure_that_it_did_not_cause() {
    let came = run(Case {
        frames: 30,
        painter: Fault::Panic(0),
        sink: Fault::Fail(0),
        ..Case::default()
    });
    assert!(matches!(
        came.result,
        Err(PipelineError::Panicked { stage: "paint", .. })
    ));
}

#[test]
fn a_slow_sink_holds_the_source_back() {
    let came = run(Case {
        frames: 1000,
        sink: Fault::Slow(Duration::from_millis(5)),
        stop_after: Some(20),
        ..Case::default()
    });
    let report = came.result.unwrap();
    assert!(report.stopped && came.finished);
    // Two links, and one frame in the hands of each stage.
    let in_flight = 2 * LINK_CAPACITY as u64 + 3;
    assert!(
        came.yielded <= 20 + in_flight + 2,
        "{} frames were decoded for 20 written",
        came.yielded
    );
    assert_eq!(
        came.written.len() as u64,
        came.yielded,
        "what was decoded before the stop is kept"
    );
}

#[test]
fn stopping_completes_what_was_painted() {
    let came = run(Case {
        frames: 100_000,
        source: Fault::Slow(Duration::from_millis(1)),
        stop_after: Some(10),
        ..Case::default()
    });
    let report = came.result.unwrap();
    assert!(report.stopped && came.finished);
    assert!((10..100).contains(&came.written.len()));
    assert!(
        came.written
            .windows(2)
            .all(|pair| pair[1].0 == pair[0].0 + 1)
    );
}

#[test]
fn a_film_ends_in_front_of_the_painting_that_was_broken_off() {
    let broken_off = |at: u64| {
        run(Case {
            frames: 50,
            painter: Fault::BreakOff(at),
            ..Case::default()
        })
    };
    let came = broken_off(7);
    let report = came.result.unwrap();
    assert!(report.stopped && came.finished);
    assert_eq!((report.frames, came.written.len()), (7, 7));
    // Nothing is no output.
    let came = broken_off(0);
    assert!(matches!(came.result, Err(PipelineError::NothingPainted)));
    assert!(!came.finished && came.written.is_empty());
}

#[test]
fn passing_through_changes_nothing() {
    let mut picture = Picture::new(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
    Passthrough.paint(&mut picture).unwrap();
    assert_eq!(picture.rgb(), [1, 2, 3, 4, 5, 6]);
}
