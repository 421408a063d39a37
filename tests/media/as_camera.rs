//! Films that are played as a camera: when their pictures come, and what comes while none is due.

use std::{path::Path, time::Instant};

use allaprima::source::{CameraOpener, ClipCamera};

use super::support::Folder;

/// The seconds at which new pictures came, when it was over (or had given so many), and the longest time without any.
fn played(path: &Path, repeat: bool, most: usize) -> (Vec<f64>, f64, f64) {
    let mut camera = ClipCamera::new(path, repeat, 1).open().unwrap();
    let (mut new, mut last, mut longest) = (Vec::new(), 0.0, 0.0_f64);
    let started = Instant::now();
    while let Some(captured) = camera.next().unwrap() {
        let now = started.elapsed().as_secs_f64();
        if !captured.is_repeated {
            new.push(now);
            if new.len() > most {
                return (new, now, longest);
            }
        }
        longest = longest.max(now - last);
        last = now;
    }
    (new, started.elapsed().as_secs_f64(), longest)
}

fn assert_near(times: &[f64], wanted: &[f64]) {
    assert_eq!(times.len(), wanted.len(), "{times:?}");
    for (time, wanted) in times.iter().zip(wanted) {
        // Never early; a busy machine may be late.
        assert!((-0.01..0.3).contains(&(time - wanted)), "{times:?}");
    }
}

#[test]
fn a_slow_film_gives_its_picture_again_until_the_next_is_due() {
    let folder = Folder::new();
    let path = folder.make(
        "slow.mkv",
        "-f lavfi -i testsrc2=size=96x64:rate=1:duration=2 -c:v ffv1",
    );
    let (new, end, longest) = played(&path, false, 9);
    assert_near(&new, &[0.0, 1.0]);
    assert_near(&[end], &[2.0]);
    assert!(longest < 0.7, "{longest} s without a picture");
}

#[test]
fn a_film_that_is_repeated_shows_its_last_picture_for_its_time() {
    let folder = Folder::new();
    let path = folder.make(
        "slow.gif",
        "-f lavfi -i testsrc2=size=96x64:rate=2:duration=1",
    );
    let (new, ..) = played(&path, true, 4);
    assert_near(&new, &[0.0, 0.5, 1.0, 1.5, 2.0]);
}

#[test]
fn a_still_that_is_repeated_is_not_opened_as_often_as_possible() {
    let folder = Folder::new();
    let still = "-f lavfi -i testsrc2=size=96x64 -frames:v 1";
    for name in ["still.png", "still.gif", "still.mkv"] {
        let path = folder.make(name, still);
        let (_, took, _) = played(&path, true, 5);
        assert!(took > 0.15, "{name}: {took} s");
    }
}

#[test]
fn a_rate_is_told_where_it_is_known() {
    let folder = Folder::new();
    let film = "-f lavfi -i testsrc2=size=96x64:rate=1:duration=4";
    for (name, told) in [
        ("film.gif", "96x64 video file at 1 frames/s"),
        ("film.mkv", "96x64 video file at 1 frames/s"),
    ] {
        let path = folder.make(name, film);
        let camera = ClipCamera::new(&path, false, 1).open().unwrap();
        assert_eq!(camera.mode().to_string(), told, "{name}");
    }
}
