//! Runs that end early: interrupted, killed, or without room on the disk.

use super::*;

/// Starts painting a long clip and waits until some frames are done.
fn start_long_run(folder: &TempDir) -> Child {
    clip(folder, "long.mp4", "320x240", "100");
    let child = allaprima()
        .args(["video", "long.mp4", "-o", "out.mp4", "--quiet", "--json"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while !files(folder).iter().any(|name| name != "long.mp4") {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "no output appears"
        );
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(700));
    child
}

fn interrupt(child: &Child, signal: &str) {
    assert!(
        Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn one_interrupt_completes_what_is_painted() {
    for signal in ["-INT", "-TERM"] {
        let folder = TempDir::new().unwrap();
        let child = start_long_run(&folder);
        interrupt(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let summary = json(&output);
        assert_eq!(summary["stopped"], true);
        let frames = count_frames(&folder.path().join("out.mp4"));
        assert_eq!(Some(frames as u64), summary["frames"].as_u64());
        assert!((1..1000).contains(&frames), "{frames} frames");
        assert_eq!(files(&folder), ["long.mp4", "out.mp4"]);
    }
}

/// Runs with an end of standard output or error that nobody reads.
fn unread(line: &str, folder: &TempDir, full: bool) -> (Option<i32>, String) {
    let to = if full {
        Stdio::from(
            fs::OpenOptions::new()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
    } else {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let mut command = allaprima();
    command.args(line.split(' ')).current_dir(folder.path());
    let output = match line.contains("--json") || line.starts_with("styles") {
        true => command.stdout(to).output().unwrap(),
        false => command.stderr(to).output().unwrap(),
    };
    (output.status.code(), stderr(&output))
}

#[test]
fn readers_may_leave() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "film.mp4", "64x64", "0.5");
    fs::create_dir(folder.path().join("photos")).unwrap();
    for name in ["photos/a.png", "photos/b.png"] {
        fs::copy(photo("chelsea.png"), folder.path().join(name)).unwrap();
    }
    for line in [
        "video film.mp4 -o out.mp4 --overwrite",
        "image photos -o painted --max-size 64 --overwrite",
        "live --camera film.mp4 --window off --record live.mkv --overwrite",
    ] {
        for full in [false, true] {
            assert_eq!(unread(line, &folder, full).0, Some(0), "{line}");
        }
    }
    assert_eq!(count_frames(&folder.path().join("out.mp4")), 5);
    assert!(folder.path().join("painted/b.png").is_file());
    assert!(count_frames(&folder.path().join("live.mkv")) > 0);
    for line in ["styles", "video film.mp4 -o out.mp4 --overwrite --json"] {
        assert_eq!(unread(line, &folder, false).0, Some(0), "{line}");
        // What was asked for did not come where it should.
        let (status, error) = unread(line, &folder, true);
        assert_eq!(status, Some(1), "{line}");
        assert!(error.contains("standard output"), "{error}");
    }
}

#[test]
fn two_interrupts_leave_nothing() {
    let folder = TempDir::new().unwrap();
    let child = start_long_run(&folder);
    interrupt(&child, "-INT");
    interrupt(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    // The first may have been enough if the run ended between the two.
    match output.status.code() {
        Some(130) => assert_eq!(files(&folder), ["long.mp4"]),
        Some(0) => assert_eq!(files(&folder), ["long.mp4", "out.mp4"]),
        other => panic!("{other:?}: {}", stderr(&output)),
    }
}

#[test]
fn a_killed_run_leaves_nothing_that_looks_complete() {
    let folder = TempDir::new().unwrap();
    let mut child = start_long_run(&folder);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.path().join("out.mp4").exists());
}

#[test]
fn a_full_disk_is_an_error_that_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "320x240", "3");
    // A limit on the size of files stands in for a full disk: the write fails the same way.
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "trap '' XFSZ; ulimit -f 50; exec {} video in.mp4 -o out.mp4 --crf 0",
            env!("CARGO_BIN_EXE_allaprima")
        ))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("out.mp4"), "{}", stderr(&output));
    assert_eq!(files(&folder), ["in.mp4"]);
}

#[test]
fn paintings_of_another_run_are_not_taken_up_and_not_deleted() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x64", "0.2");
    let kept = folder.path().join("out.mkv.frames");
    fs::create_dir(&kept).unwrap();
    let other = kept.join("000000-0123456789abcdef.png");
    image::RgbImage::new(64, 64).save(&other).unwrap();
    let style = photo("coffee.jpg");
    let args = [
        "video",
        "in.mp4",
        "-o",
        "out.mkv",
        "--engine",
        "optimize",
        "--style-image",
        &style,
        "--iterations",
        "1",
        "--json",
    ];
    let output = run(&args, &folder);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    let output = run(&[&args[..], &["--resume"]].concat(), &folder);
    assert!(output.status.success(), "{}", stderr(&output));
    let notes = json(&output)["notes"].to_string();
    assert!(notes.contains("none was taken up"), "{notes}");
    // Its own are gone.
    let left: Vec<_> = fs::read_dir(&kept)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(left, [other]);
}

/// A film of masks with half the film's frame rate: black for half a second, then white.
#[test]
fn masks_are_shown_when_they_are_due() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "1");
    let mask = |name: &str, seconds: &str| {
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i"])
            .arg(format!(
                "color=black:s=64x48:r=5:d={seconds},format=gray,geq=lum='255*gte(T,0.5)'"
            ))
            .args(["-c:v", "ffv1"])
            .arg(folder.path().join(name))
            .status()
            .unwrap();
        assert!(made.success());
    };
    mask("mask.mkv", "1");
    mask("short.mkv", "0.6");
    for steady in ["off", "1"] {
        let args = [
            "video",
            "in.mp4",
            "-o",
            "out.mkv",
            "--codec",
            "ffv1",
            "--steady",
            steady,
            "--mask",
            "mask.mkv",
            "--overwrite",
            "--json",
        ];
        let output = run(&args, &folder);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(
            !stderr(&output).contains("ended early"),
            "{}",
            stderr(&output)
        );
        let size = 64 * 48 * 3;
        let input = frames(&folder.path().join("in.mp4"), size);
        let painted = frames(&folder.path().join("out.mkv"), size);
        let apart = |i: usize| {
            let differences = input[i]
                .iter()
                .zip(&painted[i])
                .map(|(a, b)| a.abs_diff(*b));
            differences.map(u32::from).sum::<u32>() as f32 / size as f32
        };
        assert!(apart(3) < 15.0, "{steady}: {}", apart(3));
        assert!(apart(8) > 40.0, "{steady}: {}", apart(8));
    }
    let args = [
        "video",
        "in.mp4",
        "-o",
        "out.mkv",
        "--mask",
        "short.mkv",
        "--style-at",
        "0:starry;7.5:wave",
        "--overwrite",
        "--json",
    ];
    let output = run(&args, &folder);
    let notes = json(&output)["notes"].to_string();
    assert!(notes.contains("ended early"), "{notes}");
    assert!(notes.contains("7.5:wave is not reached"), "{notes}");
}

#[test]
fn pipes_that_cannot_be_read_are_told() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "0.2");
    // Longer than what is looked at ahead.
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg("testsrc2=s=640x480:r=10:d=3,noise=alls=100:allf=t")
        .args(["-preset", "ultrafast", "-qp", "0"])
        .arg(folder.path().join("long.mp4"))
        .status()
        .unwrap();
    assert!(made.success());
    let (cat, program) = (photo("chelsea.png"), env!("CARGO_BIN_EXE_allaprima"));
    for command in [
        format!("cat '{cat}' | '{program}' image /dev/stdin -o out.png"),
        format!("cat long.mp4 | '{program}' video /dev/stdin -o out.mp4"),
    ] {
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        assert!(
            text.contains("pipe") && text.contains("save it to a file"),
            "{text}"
        );
    }
    // What is in order goes through one.
    for (format, start, frames) in [("matroska", "0", 2), ("mpegts", "0.1", 1)] {
        let in_order = format!(
            "ffmpeg -v error -i in.mp4 -f {format} - | '{program}' video /dev/stdin -o out.mp4 --overwrite --start {start}"
        );
        let output = Command::new("sh")
            .args(["-c", &in_order])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(count_frames(&folder.path().join("out.mp4")), frames);
    }
}
