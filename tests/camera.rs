//! Real V4L2 devices, in the virtual machine that `./x test-camera` starts: two devices of the kernel's `vivid` driver
//! (`/dev/video0` a webcam, `/dev/video1` an output) and a v4l2loopback device (`/dev/video20`).
//!
//! Anywhere else the tests pass without doing anything. The machine is emulated, and painting takes seconds a picture in
//! it: where it does not matter it is left out (`--opacity 0`), everything else runs as always.

#![cfg(all(feature = "camera", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

fn in_the_machine() -> bool {
    let inside = std::env::var_os("ALLAPRIMA_CAMERA_VM").is_some();
    if !inside {
        eprintln!("skipped: this needs the virtual machine of ./x test-camera");
    }
    inside
}

fn live(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_allaprima"));
    command.args(["live", "--window", "off", "--steady", "off"]);
    if !args.contains(&"--opacity") {
        command.args(["--opacity", "0"]);
    }
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    live(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output:?}"))
}

fn v4l2_ctl(args: &[&str]) {
    let status = Command::new("v4l2-ctl").args(args).status().unwrap();
    assert!(status.success(), "v4l2-ctl {args:?}");
}

fn fails_with(args: &[&str], parts: &[&str]) {
    let output = run(args);
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
}

#[test]
fn cameras_are_listed_with_what_they_offer() {
    if !in_the_machine() {
        return;
    }
    let listed = text(&run(&["--list"]).stdout);
    assert!(listed.starts_with("0: vivid: "), "{listed}");
    assert!(listed.contains("640x360 YUYV at"), "{listed}");
    assert!(
        !listed.contains("\n1: "),
        "an output is no camera: {listed}"
    );
}

#[test]
fn two_hundred_frames_at_several_formats_and_sizes() {
    if !in_the_machine() {
        return;
    }
    for (camera, format, size, fps) in [
        ("0", "yuyv", "640x360", "40"),
        ("/dev/video0", "nv12", "640x480", "25"),
        ("VIVID", "rgb", "320x180", "60"),
        ("0", "bgr", "320x180", "30"),
    ] {
        // Long enough for 200 frames, start included.
        let seconds = 200 / fps.parse::<u64>().unwrap() + 4;
        let output = run(&[
            "--camera",
            camera,
            "--camera-format",
            format,
            "--camera-size",
            size,
            "--fps",
            fps,
            "--duration",
            &seconds.to_string(),
            "--json",
        ]);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let mode = format!("{size} {} at", format.to_uppercase());
        assert!(said.contains(&mode), "{said}");
        let summary = json(&output);
        let count = |key: &str| summary[key].as_u64().unwrap();
        eprintln!(
            "{format} {size}: {} captured, {} painted, {} dropped",
            count("captured"),
            count("painted"),
            count("dropped")
        );
        assert!(count("captured") >= 200, "{summary}");
        assert!(count("painted") >= 100, "{summary}");
    }
}

#[test]
fn what_the_camera_sees_is_painted() {
    if !in_the_machine() {
        return;
    }
    let output = run(&[
        "--camera",
        "0",
        "--opacity",
        "1",
        "--size",
        "32x32",
        "--threads",
        "1",
        "--duration",
        "90",
        "--patience",
        "80",
        "--json",
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = json(&output);
    eprintln!("{}", text(&output.stderr));
    assert!(summary["painted"].as_u64().unwrap() >= 1, "{summary}");
}

#[test]
fn the_default_mode_is_near_640x360_at_30() {
    if !in_the_machine() {
        return;
    }
    // Left in a state that nokhwa alone cannot open.
    v4l2_ctl(&[
        "-d0",
        "--set-fmt-video=width=1280,height=720,pixelformat=YU12",
    ]);
    let output = run(&["--camera", "0", "--duration", "3", "--json"]);
    let said = text(&output.stderr);
    assert!(said.contains("640x360 YUYV at"), "{said}");
    assert!(json(&output)["captured"].as_u64().unwrap() > 10);
}

#[test]
fn what_cannot_be_opened_says_why() {
    if !in_the_machine() {
        return;
    }
    fails_with(&["--camera", "9"], &["there is no camera 9", "0 (vivid)"]);
    fails_with(&["--camera", "nobody"], &["there is no camera nobody"]);
    fails_with(
        &["--camera", "0", "--camera-size", "123x456"],
        &["does not offer --camera-size 123x456", "640x360 YUYV"],
    );
    fails_with(
        &["--camera", "0", "--camera-format", "mjpeg"],
        &["does not offer --camera-format mjpeg"],
    );
    fails_with(
        &["--camera", "/dev/video1"],
        &["takes pictures and gives none"],
    );
    fails_with(
        &["--camera", "test", "--virtual-camera", "/dev/video0"],
        &["it is a camera and takes no pictures"],
    );
    fails_with(
        &["--camera", "test", "--virtual-camera", "/dev/video9"],
        &["there is no such device", "modprobe v4l2loopback"],
    );
}

#[test]
fn a_busy_camera_is_taken_when_it_is_free() {
    if !in_the_machine() {
        return;
    }
    let mut other = Command::new("v4l2-ctl")
        .args(["-d0", "--stream-mmap", "--stream-count=100000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_secs(2));
    fails_with(&["--camera", "0"], &["in use by another program"]);

    let mut waiting = Session::start(&["--camera", "0", "--wait"]);
    waiting.until("in use by another program");
    kill(&mut other);
    waiting.until("is back");
    waiting.frames();
}

#[test]
fn a_camera_that_is_pulled_out_comes_back() {
    if !in_the_machine() {
        return;
    }
    let mut session = Session::start(&["--camera", "0"]);
    session.until("camera 0: ");
    thread::sleep(Duration::from_secs(1));
    v4l2_ctl(&["-d0", "-c", "disconnect=1"]);
    session.until("went away");
    session.until("is back");
    thread::sleep(Duration::from_secs(1));

    // The node itself goes.
    let driver = "/sys/bus/platform/drivers/vivid";
    std::fs::write(format!("{driver}/unbind"), "vivid.0").unwrap();
    session.until("went away");
    thread::sleep(Duration::from_secs(1));
    std::fs::write(format!("{driver}/bind"), "vivid.0").unwrap();
    session.until("is back");
    session.frames();
}

#[test]
fn another_program_reads_the_virtual_camera() {
    if !in_the_machine() {
        return;
    }
    let mut session = Session::start(&FEEDING);
    session.until("camera test");
    // It is a camera for others once the first picture is written.
    until_loopback_has("320/180");
    let read = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "v4l2", "-i", "/dev/video20"])
        .args(["-frames:v", "10", "-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", text(&read.stderr));
    assert_eq!(read.stdout.len(), 10 * 320 * 180);
    let (low, high) = (
        read.stdout.iter().min().unwrap(),
        read.stdout.iter().max().unwrap(),
    );
    assert!(high - low > 60, "a flat picture: {low} to {high}");
    session.frames();
}

#[test]
fn a_virtual_camera_is_taken_again_after_a_program_that_was_killed() {
    if !in_the_machine() {
        return;
    }
    let mut session = Session::start(&FEEDING);
    until_loopback_has("320/180");
    // Somebody is in a call meanwhile.
    let mut reader = Command::new("v4l2-ctl")
        .args(["-d20", "--stream-mmap", "--stream-count=100000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_secs(2));
    kill(&mut session.process);
    let mut session = Session::start(&FEEDING);
    session.until("camera test");
    assert!(session.frames()["virtual_camera_frames"].as_u64().unwrap() > 5);
    kill(&mut reader);

    let mut writer = feed_mjpeg();
    let mut again = FEEDING.to_vec();
    again.extend(["--duration", "5"]);
    fails_with(&again, &["another program writes to it"]);
    kill(&mut writer);
    let output = run(&again);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// A session that feeds the loopback device.
const FEEDING: [&str; 8] = [
    "--camera",
    "test",
    "--camera-size",
    "321x181",
    "--fps",
    "10",
    "--virtual-camera",
    "/dev/video20",
];

/// Feeds compressed pictures to the loopback device.
fn feed_mjpeg() -> Child {
    let writer = Command::new("ffmpeg")
        .args(["-v", "error", "-re", "-f", "lavfi"])
        .args(["-i", "testsrc2=size=320x180:rate=15", "-c:v", "mjpeg"])
        .args(["-f", "v4l2", "/dev/video20"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    until_loopback_has("MJPG");
    writer
}

fn kill(process: &mut Child) {
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Waits until the format of the loopback device says so.
fn until_loopback_has(part: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let format = Command::new("v4l2-ctl")
            .args(["-d20", "--get-fmt-video"])
            .output()
            .unwrap();
        if text(&format.stdout).contains(part) {
            break;
        }
        assert!(Instant::now() < end, "the device was never written to");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_camera_that_compresses_its_pictures_is_decoded() {
    if !in_the_machine() {
        return;
    }
    let mut writer = feed_mjpeg();
    let shot = std::env::temp_dir().join("mjpeg.mkv");
    let output = run(&[
        "--camera",
        "/dev/video20",
        "--camera-format",
        "mjpeg",
        "--no-mirror",
        "--duration",
        "8",
        "--record",
        shot.to_str().unwrap(),
        "--overwrite",
        "--json",
    ]);
    kill(&mut writer);
    let said = text(&output.stderr);
    assert!(said.contains("320x180 MJPEG at"), "{said}");
    assert!(
        json(&output)["captured"].as_u64().unwrap() > 20,
        "{output:?}"
    );
    // What was recorded is the test picture: colours of full strength, not noise and not grey.
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&shot)
        .args(["-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    assert_eq!(decoded.stdout.len(), 320 * 180 * 3);
    let strong = decoded
        .stdout
        .as_chunks::<3>()
        .0
        .iter()
        .filter(|rgb| rgb.iter().max().unwrap() - rgb.iter().min().unwrap() > 150)
        .count();
    assert!(strong > 320 * 180 / 4, "{strong} strong pixels");
}

#[test]
fn an_output_that_takes_only_buffers_is_refused() {
    if !in_the_machine() {
        return;
    }
    v4l2_ctl(&["-d1", "--set-dv-bt-timings", "index=0"]);
    let args = [
        "--camera",
        "test",
        "--duration",
        "20",
        "--virtual-camera",
        "/dev/video1",
    ];
    fails_with(&args, &["/dev/video1", "use a v4l2loopback device"]);
}

/// A session that runs until it is asked to stop.
struct Session {
    process: Child,
    said: std::sync::mpsc::Receiver<String>,
}

impl Session {
    fn start(args: &[&str]) -> Self {
        let mut process = live(args)
            .args(["--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = std::sync::mpsc::sync_channel(1000);
        let lines = BufReader::<ChildStderr>::new(process.stderr.take().unwrap()).lines();
        thread::Builder::new()
            .name("lines".into())
            .spawn(move || {
                for line in lines.map_while(Result::ok) {
                    eprintln!("  {line}");
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            })
            .unwrap();
        Self { process, said }
    }

    /// Waits until it says so.
    fn until(&mut self, part: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(line) if line.contains(part) => return,
                Ok(_) => {}
                Err(error) => panic!("{part:?} was not said: {error}"),
            }
        }
    }

    /// Lets it run, stops it, and counts its pictures; its summary.
    fn frames(mut self) -> Value {
        thread::sleep(Duration::from_secs(3));
        Command::new("kill")
            .args(["-INT", &self.process.id().to_string()])
            .status()
            .unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}");
        let mut out = String::new();
        std::io::Read::read_to_string(self.process.stdout.as_mut().unwrap(), &mut out).unwrap();
        let summary: Value = serde_json::from_str(&out).unwrap();
        assert!(summary["captured"].as_u64().unwrap() > 10, "{summary}");
        summary
    }
}
