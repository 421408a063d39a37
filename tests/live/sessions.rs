//! What becomes of live sessions, good ones and bad ones.

use super::*;

#[test]
fn all_is_well() {
    let ended = session(Session {
        screen: Some(FakeScreen::default()),
        recording: Some(Fault::None),
        device: Some(Fault::None),
        ..Session::default()
    });
    let report = ended.report();
    assert!(report.shown > 20, "{report:?}");
    assert!(report.captured >= report.shown);
    assert_eq!(
        report.recorded as usize,
        ended.written.stamps.lock().unwrap().len()
    );
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
    assert!(report.recorded > 20 && report.fed > 15, "{report:?}");
    assert!(report.latency_ms.0 < report.latency_ms.1 + 1e-9);
    assert!(report.failures.is_empty() && ended.stuck.is_none());
    assert_eq!(report.sizes, [((48, 32), report.painted)]);
    let stamps = ended.written.stamps.lock().unwrap();
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(
        ended.reds.windows(2).all(|pair| pair[0] <= pair[1]),
        "order"
    );
}

#[test]
fn a_slow_painter_drops_and_never_lags() {
    let ended = session(Session {
        painter: Fault::Slow(Duration::from_millis(40)),
        screen: Some(FakeScreen::default()),
        duration: Some(Duration::from_millis(1500)),
        ..Session::default()
    });
    let report = ended.report();
    assert!(report.dropped > report.painted, "{report:?}");
    assert!(report.captured >= report.dropped + report.painted);
    // At most one camera frame of waiting, the painting itself, and the scheduler.
    assert!(report.latency_ms.1 < 120.0, "{:?}", report.latency_ms);
}

#[test]
fn a_slow_window_holds_up_nothing_else() {
    let ended = session(Session {
        screen: Some(FakeScreen {
            fault: Fault::Slow(Duration::from_millis(100)),
            ..FakeScreen::default()
        }),
        recording: Some(Fault::None),
        duration: Some(Duration::from_millis(1500)),
        ..Session::default()
    });
    let report = ended.report();
    assert!(report.shown < 20 && report.painted > 50, "{report:?}");
    assert!(report.recorded > 50, "{report:?}");
}

#[test]
fn the_camera_stalls() {
    let ended = session(Session {
        camera: Fault::Stall(10),
        screen: Some(FakeScreen::default()),
        duration: Some(Duration::from_millis(900)),
        recording: Some(Fault::None),
        ..Session::default()
    });
    assert!(ended.told("no picture for"), "{:?}", ended.notices);
    assert!(ended.took < Duration::from_millis(900) + SOON);
    let report = ended.report();
    assert_eq!(report.captured, 10);
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
    assert!(report.notes[0].contains("capture"), "{:?}", report.notes);
}

#[test]
fn the_camera_pauses_and_goes_on() {
    let ended = session(Session {
        camera: Fault::Pause(10, Duration::from_millis(600)),
        duration: Some(Duration::from_millis(1500)),
        ..Session::default()
    });
    assert!(ended.told("no picture for"));
    assert!(ended.report().captured > 30);
}

#[test]
fn a_film_that_stands_still_is_painted_on() {
    let ended = session(Session {
        camera: Fault::Still(10),
        painter: Fault::Slow(Duration::from_millis(35)),
        screen: Some(FakeScreen::default()),
        duration: Some(Duration::from_millis(1500)),
        ..Session::default()
    });
    assert!(!ended.told("no picture for"), "{:?}", ended.notices);
    let report = ended.report();
    assert_eq!(report.captured, 10, "{report:?}");
    assert!(report.painted > 15, "{report:?}");
    // What is painted yet is not given again, and so not dropped.
    assert!(report.dropped < 10, "{report:?}");
}

#[test]
fn the_camera_is_pulled_out_and_comes_back() {
    let ended = session(Session {
        camera: Fault::Fail(10),
        absent: 2,
        screen: Some(FakeScreen::default()),
        duration: Some(Duration::from_millis(2000)),
        ..Session::default()
    });
    let troubles = ended
        .notices
        .iter()
        .filter(|n| matches!(n, Notice::Trouble(_) | Notice::CameraGone(_)))
        .count();
    assert_eq!(troubles, 1, "told once: {:?}", ended.notices);
    assert!(ended.told("plug it in again"));
    assert!(ended.told("camera fake is back"), "{:?}", ended.notices);
    assert!(ended.report().captured > 30, "{:?}", ended.report());
}

#[test]
fn the_camera_fails_at_once() {
    let ended = session(Session {
        camera: Fault::Fail(0),
        ..Session::default()
    });
    assert!(ended.error().contains("camera fake went away"));
    assert!(ended.took < SOON);
}

#[test]
fn the_camera_panics() {
    let ended = session(Session {
        camera: Fault::Panic(5),
        recording: Some(Fault::None),
        ..Session::default()
    });
    assert!(ended.error().contains("stage capture"), "{}", ended.error());
    assert!(ended.error().contains("picture 5 is cursed"));
    assert!(ended.took < SOON);
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
}

#[test]
fn the_painter_stalls() {
    let ended = session(Session {
        painter: Fault::Stall(5),
        recording: Some(Fault::None),
        device: Some(Fault::None),
        paint_limit: Some(Duration::from_millis(700)),
        duration: Some(Duration::from_secs(8)),
        ..Session::default()
    });
    assert!(
        ended.error().contains("stage paint has not moved"),
        "{}",
        ended.error()
    );
    assert!(ended.told("no picture has been painted"));
    assert!(
        ended.took < SOON + Duration::from_millis(700),
        "{:?}",
        ended.took
    );
    // The recording is complete, and the virtual camera held its last picture.
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
    assert!(ended.fed.len() > 15, "{}", ended.fed.len());
}

#[test]
fn the_first_painting_is_not_complete_at_the_end() {
    let unfinished = |recording| {
        let ended = session(Session {
            painter: Fault::Stall(0),
            recording,
            duration: Some(Duration::from_millis(300)),
            ..Session::default()
        });
        assert!(
            ended.took < Duration::from_millis(300) + SOON,
            "{:?}",
            ended.took
        );
        let report = ended.report();
        assert_eq!((report.painted, report.recordings.len()), (0, 0));
        let failures: Vec<_> = report.failures.iter().map(ToString::to_string).collect();
        (report.notes.join(" "), failures.join(" "))
    };
    let (notes, failures) = unfinished(None);
    assert!(notes.starts_with("Nothing was painted: the first painting was not complete"));
    assert_eq!(failures, "");
    // Told once, as the failure that it is.
    let (notes, failures) = unfinished(Some(Fault::None));
    assert_eq!(notes, "");
    assert!(
        failures.starts_with("nothing was recorded: no picture was painted"),
        "{failures}"
    );
}

#[test]
fn a_recording_that_ends_before_the_first_painting_is_none() {
    let ended = session(Session {
        painter: Fault::Pause(0, Duration::from_millis(400)),
        screen: Some(FakeScreen {
            keys: [(0, Key::Char('r')), (0, Key::Char('r'))].into(),
            ..FakeScreen::default()
        }),
        ..Session::default()
    });
    assert!(ended.told("nothing was recorded in a.mkv"));
    assert!(!ended.told("recorded a.mkv"), "{:?}", ended.notices);
    assert!(ended.report().shown > 0 && ended.report().recordings.is_empty());
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 0);
}

#[test]
fn the_painter_fails() {
    let ended = session(Session {
        painter: Fault::Fail(5),
        screen: Some(FakeScreen::default()),
        ..Session::default()
    });
    assert!(ended.error().contains("too small to paint"));
    assert!(ended.took < SOON);
}

#[test]
fn the_painter_panics() {
    let ended = session(Session {
        painter: Fault::Panic(5),
        screen: Some(FakeScreen::default()),
        ..Session::default()
    });
    assert!(ended.error().contains("stage paint"), "{}", ended.error());
    assert!(ended.took < SOON);
}

#[test]
fn the_window_stalls() {
    let ended = session(Session {
        screen: Some(FakeScreen {
            fault: Fault::Pause(5, Duration::from_millis(1500)),
            ..FakeScreen::default()
        }),
        recording: Some(Fault::None),
        duration: Some(Duration::from_secs(8)),
        ..Session::default()
    });
    let stuck = ended.stuck.as_ref().unwrap().to_string();
    assert!(stuck.contains("stage present has not moved"), "{stuck}");
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
    assert!(ended.took < SOON + Duration::from_millis(1500));
}

#[test]
fn the_window_fails() {
    let ended = session(Session {
        screen: Some(FakeScreen {
            fault: Fault::Fail(5),
            ..FakeScreen::default()
        }),
        recording: Some(Fault::None),
        ..Session::default()
    });
    assert_eq!(ended.error(), "the window is lost");
    assert!(ended.took < SOON);
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
}

#[test]
fn the_window_panics() {
    let ended = session(Session {
        screen: Some(FakeScreen {
            fault: Fault::Panic(5),
            ..FakeScreen::default()
        }),
        recording: Some(Fault::None),
        ..Session::default()
    });
    assert!(ended.error().contains("stage present"), "{}", ended.error());
    assert!(ended.took < SOON);
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
}

#[test]
fn the_window_is_closed() {
    let ended = session(Session {
        screen: Some(FakeScreen {
            closed_at: Some(10),
            ..FakeScreen::default()
        }),
        recording: Some(Fault::None),
        duration: Some(Duration::from_secs(8)),
        ..Session::default()
    });
    assert!(ended.report().shown >= 5);
    assert!(ended.took < SOON);
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
}

#[test]
fn the_disk_stalls() {
    let ended = session(Session {
        screen: Some(FakeScreen::default()),
        recording: Some(Fault::Stall(5)),
        ..Session::default()
    });
    let report = ended.report();
    assert!(report.shown > 20, "the window went on: {report:?}");
    assert!(report.not_recorded > 10, "{report:?}");
    assert!(ended.told("recording is too slow"));
    assert!(report.failures[0].to_string().contains("stage record"));
    assert!(
        ended.took < Duration::from_secs(1) + SOON,
        "{:?}",
        ended.took
    );
}

#[test]
fn the_disk_is_full() {
    let ended = session(Session {
        screen: Some(FakeScreen::default()),
        recording: Some(Fault::Fail(5)),
        ..Session::default()
    });
    let report = ended.report();
    assert!(report.shown > 20);
    assert!(ended.told("the disk is full"));
    assert_eq!(report.failures[0].to_string(), "the disk is full");

    // Without a window there is nothing to go on for.
    let ended = session(Session {
        recording: Some(Fault::Fail(5)),
        duration: Some(Duration::from_secs(8)),
        ..Session::default()
    });
    assert_eq!(ended.error(), "the disk is full");
    assert!(ended.took < SOON);
}

#[test]
fn the_recording_panics() {
    let ended = session(Session {
        screen: Some(FakeScreen::default()),
        recording: Some(Fault::Panic(5)),
        ..Session::default()
    });
    assert!(
        ended.report().failures[0]
            .to_string()
            .contains("stage record")
    );
    assert!(ended.report().shown > 20);
}

#[test]
fn sound_is_recorded_beside_the_pictures() {
    let ended = session(Session {
        recording: Some(Fault::None),
        microphone: Some(Fault::None),
        ..Session::default()
    });
    assert!(ended.report().recorded > 30);
    let sound = ended.written.sound.lock().unwrap();
    assert!(sound.len() > 40, "{} packets", sound.len());
    // On the clock of the pictures, none missing and none twice.
    let last_picture = *ended.written.stamps.lock().unwrap().last().unwrap();
    let (last_sound, _) = *sound.last().unwrap();
    let apart = last_sound / 1000 - last_picture;
    assert!(apart.abs() < 300, "{apart} ms apart at the end");
    for pair in sound.windows(2) {
        assert!(pair[0].0 < pair[1].0);
        assert_eq!(pair[0].1.wrapping_add(1), pair[1].1);
    }
}

#[test]
fn a_microphone_that_goes_wrong_costs_only_the_sound() {
    for (fault, cause) in [
        (Fault::Fail(20), Some("microphone fake went away")),
        (Fault::Panic(20), Some("picture 20 is cursed")),
        (Fault::Stall(20), None),
    ] {
        let ended = session(Session {
            recording: Some(Fault::None),
            microphone: Some(fault),
            ..Session::default()
        });
        assert!(ended.took < SOON, "{:?}", ended.took);
        let report = ended.report();
        assert!(report.recorded > 30, "{fault:?}: {report:?}");
        assert_eq!(ended.written.finished.load(Ordering::SeqCst), 1);
        assert_eq!(report.failures.len(), usize::from(cause.is_some()));
        if let Some(cause) = cause {
            assert!(ended.told(cause), "{:?}", ended.notices);
        }
    }
}

#[test]
fn the_virtual_camera_fails_panics_and_stalls() {
    for (fault, says) in [
        (Fault::Fail(5), "the device is gone"),
        (Fault::Panic(5), "stage virtual camera"),
        (Fault::Stall(5), "stage virtual camera has not moved"),
    ] {
        let ended = session(Session {
            screen: Some(FakeScreen::default()),
            device: Some(fault),
            ..Session::default()
        });
        let report = ended.report();
        assert!(report.shown > 20, "the window went on: {report:?}");
        let failure = report.failures[0].to_string();
        assert!(failure.contains(says), "{fault:?}: {failure}");
        assert!(ended.took < Duration::from_secs(1) + SOON);
    }
}

#[test]
fn the_virtual_camera_is_fed_steadily_while_painting_pauses() {
    let ended = session(Session {
        painter: Fault::Pause(20, Duration::from_millis(700)),
        device: Some(Fault::None),
        duration: Some(Duration::from_millis(1500)),
        ..Session::default()
    });
    let longest = ended
        .fed
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .max()
        .unwrap();
    assert!(longest < Duration::from_millis(250), "{longest:?}");
}

#[test]
fn keys_reach_the_painter_and_the_outputs() {
    let keys = [
        (3, Key::Char('r')),
        (20, Key::Char('r')),
        (22, Key::Char('r')),
        (30, Key::Char('p')),
        (40, Key::Char('m')),
        (40, Key::Char('h')),
        (45, Key::Char('v')),
        (50, Key::Right),
        (55, Key::Char(' ')),
        (60, Key::Char('q')),
    ];
    let ended = session(Session {
        screen: Some(FakeScreen {
            keys: keys.into(),
            size: (320, 200),
            ..FakeScreen::default()
        }),
        duration: Some(Duration::from_secs(8)),
        ..Session::default()
    });
    let report = ended.report();
    assert_eq!(report.recordings.len(), 2, "{report:?}");
    assert_eq!(ended.written.finished.load(Ordering::SeqCst), 2);
    assert!(ended.told("saved a.png"));
    assert!(ended.took < Duration::from_secs(5), "q ends it");
}

#[test]
fn escape_leaves_a_screen_that_was_filled_from_the_start() {
    for fills in [true, false] {
        let ended = session(Session {
            screen: Some(FakeScreen {
                keys: [(10, Key::Escape), (20, Key::Escape)].into(),
                fills,
                ..FakeScreen::default()
            }),
            full_screen: true,
            duration: Some(Duration::from_secs(8)),
            ..Session::default()
        });
        assert!(ended.took < Duration::from_secs(5), "Escape ends it");
        // Where the screen cannot be filled the first ends it.
        assert_eq!(ended.reds.len() >= 20, fills);
    }
}
