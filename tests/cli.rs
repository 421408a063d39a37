//! The program as a person or a script uses it: output, exit status, files left behind.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

fn allaprima() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_allaprima"));
    command.env_remove("ALLAPRIMA_MODELS").stdin(Stdio::null());
    command
}

fn run(args: &[&str], folder: &TempDir) -> Output {
    allaprima()
        .args(args)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

/// Makes `name` in `folder` with the `ffmpeg` program: `seconds` of a moving picture of `size`, 10 frames a second,
/// with a tone.
fn clip(folder: &TempDir, name: &str, size: &str, seconds: &str) -> PathBuf {
    let path = folder.path().join(name);
    let status = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            &format!("testsrc2=s={size}:r=10:d={seconds}"),
        ])
        .args([
            "-f",
            "lavfi",
            "-i",
            &format!("sine=d={seconds}"),
            "-pix_fmt",
            "yuv420p",
            "-shortest",
        ])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    path
}

fn count_frames(path: &Path) -> usize {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0"])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .unwrap_or_else(|_| panic!("{output:?}"))
}

fn photo(name: &str) -> String {
    format!("{}/samples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Names of all files in the folder, hidden ones too.
fn files(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_video_is_painted_and_summed_up() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "1");
    let output = run(
        &[
            "video", "in.mp4", "-o", "out.mp4", "--style", "ink,wave", "--json",
        ],
        &folder,
    );
    assert_eq!(
        output.status.code(),
        Some(2),
        "no style is called ink: {}",
        stderr(&output)
    );
    let output = run(
        &[
            "video",
            "in.mp4",
            "-o",
            "out.mp4",
            "--style",
            "ember,wave:2",
            "--json",
        ],
        &folder,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = json(&output);
    assert_eq!(
        (summary["frames"].as_u64(), summary["dropped"].as_u64()),
        (Some(10), Some(0))
    );
    for key in ["seconds", "fps", "peak_rss_mib"] {
        assert!(summary[key].as_f64().unwrap() > 0.0, "{key}");
    }
    for stage in ["decode", "paint", "encode"] {
        let stage = &summary["stages"][stage];
        assert!(stage["p50_ms"].as_f64().unwrap() <= stage["p95_ms"].as_f64().unwrap());
        assert!((0.0..=1.01).contains(&stage["busy"].as_f64().unwrap()));
    }
    assert_eq!(count_frames(&folder.path().join("out.mp4")), 10);
    assert_eq!(files(&folder), ["in.mp4", "out.mp4"]);
}

#[test]
fn quiet_means_silent_and_opacity_0_the_original() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "0.5");
    let output = run(
        &[
            "video",
            "in.mp4",
            "-o",
            "out.mkv",
            "--lossless",
            "--opacity",
            "0",
            "--quiet",
        ],
        &folder,
    );
    assert!(
        output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    let hash = |name: &str| {
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-i"])
            .arg(folder.path().join(name))
            .args(["-map", "0:v", "-vf", "scale=in_color_matrix=bt601:flags=bicubic+accurate_rnd+full_chroma_int,format=gray"])
            .args(["-f", "rawvideo", "-"])
            .output()
            .unwrap();
        output.stdout
    };
    let (before, after) = (hash("in.mp4"), hash("out.mkv"));
    assert_eq!(before.len(), after.len());
    let difference: u64 = before
        .iter()
        .zip(&after)
        .map(|(a, b)| u64::from(a.abs_diff(*b)))
        .sum();
    let mean = difference as f64 / before.len() as f64;
    assert!(mean < 6.0, "opacity 0 changed the picture by {mean} of 255");
}

#[test]
fn an_existing_output_is_kept_unless_told_otherwise() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "0.5");
    fs::write(folder.path().join("out.mp4"), "mine").unwrap();
    let output = run(&["video", "in.mp4", "-o", "out.mp4"], &folder);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("--overwrite"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(folder.path().join("out.mp4")).unwrap(), b"mine");
    let output = run(
        &["video", "in.mp4", "-o", "out.mp4", "--overwrite"],
        &folder,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(count_frames(&folder.path().join("out.mp4")), 5);
}

#[test]
fn wrong_usage_is_status_2_and_names_the_option() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "0.2");
    let cases: [(&[&str], &str); 17] = [
        (&["--style", "stary"], "starry"),
        (&["--style", "26"], "0 to 25"),
        (&["--style", "wave:0"], "weight"),
        (&["--strength", "1.5"], "--strength"),
        (&["--size", "640"], "--size"),
        (&["--size", "16x16"], "32"),
        (&["--max-size", "4"], "--max-size"),
        (
            &["--size", "64x64", "--max-size", "64"],
            "cannot be used with",
        ),
        (&["--threads", "0"], "--threads"),
        (&["--duration", "0"], "--duration"),
        (&["--device", "gpu"], "--device"),
        (&["--codec", "mpeg0"], "mpeg0"),
        (&["--codec", "ffv1"], "--codec ffv1"),
        (&["--lossless"], ".mkv"),
        (&["--crf", "52"], "--crf"),
        (&["--preset", "brisk"], "--preset"),
        (&["-o", "out.avi"], "cannot be used multiple times"),
    ];
    for (extra, named) in cases {
        let args = [&["video", "in.mp4", "-o", "out.mp4"], extra].concat();
        let output = run(&args, &folder);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{extra:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(named),
            "{extra:?}: {}",
            stderr(&output)
        );
    }
    assert_eq!(files(&folder), ["in.mp4"]);
}

#[test]
fn bad_input_is_status_1_and_names_the_file() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("empty.mp4"), "").unwrap();
    fs::write(
        folder.path().join("text.mp4"),
        "this is no film\n".repeat(100),
    )
    .unwrap();
    fs::create_dir(folder.path().join("folder.mp4")).unwrap();
    for input in ["missing.mp4", "empty.mp4", "text.mp4", "folder.mp4"] {
        let output = run(&["video", input, "-o", "out.mp4"], &folder);
        assert_eq!(
            output.status.code(),
            Some(1),
            "{input}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(input),
            "{input}: {}",
            stderr(&output)
        );
    }
    assert_eq!(files(&folder), ["empty.mp4", "folder.mp4", "text.mp4"]);
}

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
fn one_broken_picture_does_not_stop_the_rest() {
    let folder = TempDir::new().unwrap();
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).unwrap();
    fs::copy(photo("chelsea.png"), pictures.join("a.png")).unwrap();
    fs::write(pictures.join("b.jpg"), "no picture").unwrap();
    let whole = fs::read(photo("coffee.jpg")).unwrap();
    fs::write(pictures.join("c.jpg"), &whole).unwrap();
    fs::write(
        pictures.join("d.png"),
        &fs::read(photo("chelsea.png")).unwrap()[..2000],
    )
    .unwrap();
    let output = run(
        &[
            "image",
            "pictures",
            "-o",
            "out",
            "--max-size",
            "128",
            "--json",
        ],
        &folder,
    );
    assert_eq!(output.status.code(), Some(1));
    let summary = json(&output);
    assert_eq!(
        (summary["frames"].as_u64(), summary["failed"].as_u64()),
        (Some(2), Some(2))
    );
    let text = stderr(&output);
    assert!(
        text.contains("b.jpg") && text.contains("d.png") && text.contains("painted 2 of 4"),
        "{text}"
    );
    let painted: Vec<_> = ["a.png", "c.jpg"]
        .map(|name| image::open(folder.path().join("out").join(name)).unwrap())
        .into();
    assert_eq!(painted[0].width().max(painted[0].height()), 128);
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 2);
}

#[test]
fn a_picture_lying_on_its_side_is_painted_upright() {
    let folder = TempDir::new().unwrap();
    let upright = folder.path().join("upright.jpg");
    image::open(photo("coffee.jpg"))
        .unwrap()
        .thumbnail(96, 64)
        .into_rgb8()
        .save(&upright)
        .unwrap();
    let jpeg = fs::read(&upright).unwrap();
    // An EXIF block with the one entry Orientation = 6 (turn by 90° clockwise), after the start marker.
    let exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let mut turned = vec![0xff, 0xd8, 0xff, 0xe1, 0, exif.len() as u8 + 2];
    turned.extend_from_slice(exif);
    turned.extend_from_slice(&jpeg[2..]);
    fs::write(folder.path().join("turned.jpg"), turned).unwrap();
    let output = run(
        &["image", "turned.jpg", "-o", "out.png", "--opacity", "0"],
        &folder,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let out = image::open(folder.path().join("out.png"))
        .unwrap()
        .into_rgb8();
    let expected = image::open(&upright).unwrap().rotate90().into_rgb8();
    assert_eq!(out.dimensions(), expected.dimensions());
    assert_eq!(out, expected);
}

#[test]
fn styles_are_listed_and_sheeted() {
    let folder = TempDir::new().unwrap();
    let list = run(&["styles", "--json"], &folder);
    let list = json(&list);
    assert_eq!(list.as_array().unwrap().len(), 26);
    assert_eq!(list[19]["name"], "starry");
    let text = run(&["styles"], &folder);
    assert_eq!(String::from_utf8_lossy(&text.stdout).lines().count(), 26);
    let output = run(
        &[
            "styles",
            "--sheet",
            &photo("chelsea.png"),
            "-o",
            "sheet.png",
            "--tile",
            "64",
        ],
        &folder,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let sheet = image::open(folder.path().join("sheet.png")).unwrap();
    assert!(sheet.width() > 5 * 64 && sheet.height() > 3 * 64);
    assert_eq!(
        run(&["styles", "--sheet", &photo("chelsea.png")], &folder)
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn the_program_works_alone_and_names_missing_models() {
    let folder = TempDir::new().unwrap();
    let alone = folder.path().join("alone");
    fs::copy(env!("CARGO_BIN_EXE_allaprima"), &alone).unwrap();
    let styles = Command::new(&alone).arg("styles").output().unwrap();
    assert!(styles.status.success());
    let doctor = Command::new(&alone)
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    let findings: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let models = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["name"] == "models")
        .unwrap();
    assert!(
        models["ok"].as_bool().unwrap() && models["says"].as_str().unwrap().contains("built in")
    );
    let output = run(&["styles", "--models", "."], &folder);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--models"), "{}", stderr(&output));
}

#[test]
fn bench_measures_every_step() {
    let folder = TempDir::new().unwrap();
    let output = run(
        &["bench", "--sizes", "64x48,96x64", "--frames", "5", "--json"],
        &folder,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let figures = json(&output);
    let rows = figures["sizes"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        for step in ["decode", "motion", "paint", "steady", "encode"] {
            assert!(row[step]["fps"].as_f64().unwrap() > 0.0, "{row}");
            assert!(row[step]["p50_ms"].as_f64().unwrap() >= 0.0, "{row}");
        }
        assert_eq!(row["pipeline"]["frames"], 5);
    }
}

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
