//! The program on a GPU that Vulkan knows; a software one does.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::{Command, Output};

fn allaprima(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_allaprima"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn says(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What `doctor` finds under a name.
fn finding(name: &str) -> serde_json::Value {
    let doctor = allaprima(&["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let mut findings = findings.as_array().unwrap().iter();
    findings
        .find(|finding| finding["name"] == name)
        .unwrap()
        .clone()
}

/// Whether there is a GPU. Where there is none the tests say so, and `ALLAPRIMA_TEST_GPU` makes that an error.
fn there_is_a_gpu() -> bool {
    let vulkan = finding("vulkan");
    let works = vulkan["ok"] == true;
    println!("{}", vulkan["says"]);
    assert!(works || std::env::var_os("ALLAPRIMA_TEST_GPU").is_none());
    works
}

#[test]
fn a_gpu_paints_pictures_and_films_as_the_processor_does() {
    if !there_is_a_gpu() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (command, input, more) in [
        ("image", "samples/coffee.jpg", ["--max-size", "200"]),
        ("image", "samples/chelsea.png", ["--size", "101x67"]),
        ("video", "samples/bunny.mp4", ["--duration", "0.3"]),
    ] {
        let painted = ["vulkan", "cpu"].map(|device| {
            let output = file(&format!(
                "{device}.{}",
                if command == "image" { "png" } else { "mkv" }
            ));
            let mut arguments = vec![
                command,
                input,
                "-o",
                &output,
                "--overwrite",
                "--device",
                device,
            ];
            // A style, and two at once in parts of the strength.
            arguments.extend([
                "--style",
                "starry:2,19",
                "--strength",
                "0.8",
                "--precision",
                "f32",
            ]);
            arguments.extend(more);
            if command == "video" {
                arguments.extend(["--codec", "ffv1", "--size", "120x68"]);
            }
            let run = allaprima(&arguments);
            assert!(run.status.success(), "{}", says(&run));
            pixels(&output)
        });
        assert_eq!(painted[0].len(), painted[1].len());
        let differences = painted[0]
            .iter()
            .zip(&painted[1])
            .map(|(a, b)| a.abs_diff(*b));
        let largest = differences.clone().max().unwrap();
        let mean = differences.map(f64::from).sum::<f64>() / painted[0].len() as f64;
        println!("{input}: {mean:.3} of 255 in the mean, {largest} at most");
        assert!(mean < 0.2 && largest <= 8, "{input}: {mean}, {largest}");
    }
}

/// All pixels of a picture or a film, RGB.
fn pixels(file: &str) -> Vec<u8> {
    let decoded = Command::new("ffmpeg")
        .args([
            "-v", "error", "-i", file, "-f", "rawvideo", "-pix_fmt", "rgb24", "-",
        ])
        .output()
        .unwrap();
    assert!(decoded.status.success() && !decoded.stdout.is_empty());
    decoded.stdout
}

#[test]
fn a_gpu_that_is_not_there_or_slower_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("painted.png");
    let output = output.to_str().unwrap();
    let paint = |device: &str| {
        allaprima(&[
            "image",
            "samples/chelsea.png",
            "-o",
            output,
            "--max-size",
            "64",
            "--device",
            device,
        ])
    };
    let missing = paint("vulkan:1000");
    assert_eq!(missing.status.code(), Some(2));
    let error = says(&missing);
    assert!(
        error.contains("vulkan:1000") && error.contains("there is no GPU 1000"),
        "{error}"
    );
    assert!(error.contains("--device cpu"), "{error}");
    // Whatever there is, something paints; software that plays a GPU does not.
    let auto = paint("auto");
    assert!(auto.status.success(), "{}", says(&auto));
    let vulkan = finding("vulkan")["says"].to_string();
    if vulkan.contains("llvmpipe") {
        assert!(vulkan.contains("the processor paints faster"), "{vulkan}");
        assert_eq!(finding("device")["says"], "auto is cpu");
    }
    let metal = paint("metal");
    assert!(
        says(&metal).contains("--features metal"),
        "{}",
        says(&metal)
    );
}
