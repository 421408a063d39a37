//! The program as a person or a script uses it: output, exit status, files left behind.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod end;
mod live;
mod pictures;
mod train;
mod video;

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

/// Frames of a film as the ffmpeg program decodes them, RGB.
fn frames(path: &Path, bytes: usize) -> Vec<Vec<u8>> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-fps_mode", "passthrough", "-f", "rawvideo"])
        .args(["-pix_fmt", "rgb24", "-"])
        .output()
        .unwrap();
    output
        .stdout
        .chunks_exact(bytes)
        .map(<[u8]>::to_vec)
        .collect()
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
fn shells_are_told_how_to_complete() {
    let folder = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], &folder);
        assert!(output.status.success(), "{output:?}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["measure", "style-image", "strength"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            fs::write(folder.path().join("script"), script).unwrap();
            let status = Command::new("bash")
                .args(["-n", "script"])
                .current_dir(folder.path())
                .status()
                .unwrap();
            assert!(status.success());
        }
    }
    assert_eq!(run(&["completions", "sh"], &folder).status.code(), Some(2));
}
