//! `allaprima live`.

use super::*;

#[test]
fn live_plays_a_file_to_its_end_and_records_it() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "160x120", "2");
    let args =
        "live --camera in.mp4 --window off --size 64x48 --steady off --record out.mkv --json";
    let args: Vec<_> = args.split(' ').collect();
    let output = run(&args, &folder);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = json(&output);
    assert_eq!(summary["captured"], 20, "{summary}");
    for key in ["frames", "dropped", "shown", "fps", "seconds"] {
        assert!(summary[key].is_number(), "{key}: {summary}");
    }
    assert!(summary["latency_ms"]["p95"].as_f64().unwrap() > 0.0);
    assert!(summary["stages"]["paint"]["p50_ms"].as_f64().unwrap() > 0.0);
    let recorded = summary["recorded"].as_u64().unwrap();
    assert!(recorded > 0 && recorded <= 20, "{summary}");
    assert_eq!(
        count_frames(&folder.path().join("out.mkv")) as u64,
        recorded
    );
    let notes = summary["notes"].to_string();
    assert!(
        notes.contains("The sound of in.mp4 is not recorded"),
        "{notes}"
    );

    // Never over an existing file.
    let again = run(&args, &folder);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("--overwrite"), "{}", stderr(&again));
}

#[test]
fn live_records_the_sound_of_a_microphone() {
    let folder = TempDir::new().unwrap();
    let args = "live --camera test --window off --size 64x48 --steady off --duration 2 --record out.mp4 --microphone";
    let mut args: Vec<_> = args.split(' ').collect();
    // A microphone that hears a tone.
    args.push("lavfi:sine=frequency=440,arealtime");
    let output = run(&args, &folder);
    assert!(output.status.success(), "{}", stderr(&output));
    let heard = Command::new("ffmpeg")
        .args(["-i", "out.mp4", "-vn", "-af", "volumedetect"])
        .args(["-f", "null", "-"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    // The tone has an amplitude of 1/8: -21 dB.
    assert!(stderr(&heard).contains("mean_volume: -21"), "{heard:?}");
}

#[test]
fn a_recording_that_never_began_is_a_failure() {
    let folder = TempDir::new().unwrap();
    let line = "live --camera 99 --wait --duration 1 --window off --record never.mkv --json";
    let args: Vec<&str> = line.split(' ').collect();
    let output = run(&args, &folder);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing was recorded"));
    assert_eq!(
        json(&output)["recordings"].as_array().map(Vec::len),
        Some(0)
    );
    assert!(files(&folder).is_empty(), "{:?}", files(&folder));
}

#[test]
fn a_recording_that_is_aborted_at_once_is_whole_or_missing() {
    for name in ["out.mp4", "out.mov", "out.webm", "out.mkv"] {
        let folder = TempDir::new().unwrap();
        let line = "live --camera test --window off --size 64x48 --duration 20 --record";
        let child = allaprima()
            .args(line.split(' ').chain([name]))
            .current_dir(folder.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while files(&folder).is_empty() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "no recording appears"
            );
            thread::sleep(Duration::from_millis(10));
        }
        for signal in ["-INT", "-TERM"] {
            let id = child.id().to_string();
            assert!(
                Command::new("kill")
                    .args([signal, &id])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let output = child.wait_with_output().unwrap();
        let left = files(&folder);
        // The first may have been enough if the session ended between the two.
        match output.status.code() {
            Some(130) if left.is_empty() => {}
            Some(0 | 130) => {
                assert_eq!(left, [name]);
                assert!(count_frames(&folder.path().join(name)) > 0, "{name}");
            }
            other => panic!("{other:?}: {}", stderr(&output)),
        }
    }
}

#[test]
fn live_says_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let wrong = |args: &str, code: i32, part: &str| {
        let args: Vec<_> = "live --window off --duration 1"
            .split(' ')
            .chain(args.split(' '))
            .collect();
        let output = run(&args, &folder);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
    };
    wrong("--camera test --record a.avi", 2, ".mkv");
    wrong("--camera test --record no/a.mkv", 1, "no");
    wrong("--camera test --fps 0", 2, "1 to 240");
    wrong("--camera test --style nonsense", 2, "nonsense");
    wrong(
        "--camera test --virtual-camera /dev/nothing",
        1,
        "/dev/nothing",
    );
    wrong(
        "--camera test --microphone alsa:nobody",
        1,
        "microphone alsa:nobody cannot be opened",
    );
    if cfg!(feature = "camera") {
        wrong("--camera nobody", 1, "there is no camera nobody");
    }
}
