//! The measure of steadiness against the independent yardstick, given the same flow.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    path::Path,
    process::{Command, Output},
};

use allaprima::{
    frame::Picture,
    temporal::{
        flow::{Flow, Motion},
        measure::{Measure, Running, Tracks},
    },
};
use safetensors::SafeTensors;

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/steadiness.safetensors"
);

struct Golden {
    films: [Vec<Picture>; 3],
    motion: Vec<Motion>,
    expected: serde_json::Value,
}

fn golden() -> Golden {
    let bytes = std::fs::read(GOLDEN).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let text = &header.metadata().as_ref().unwrap()["expected"];
    let films = ["input", "stylised", "baseline"].map(|name| {
        let tensor = tensors.tensor(name).unwrap();
        let (height, width) = (tensor.shape()[1], tensor.shape()[2]);
        let frames = tensor.data().chunks_exact(width * height * 3);
        frames
            .map(|rgb| Picture::new(width, height, rgb.to_vec()).unwrap())
            .collect()
    });
    let (flow, consistent) = (
        tensors.tensor("flow").unwrap(),
        tensors.tensor("consistent").unwrap(),
    );
    let (height, width) = (flow.shape()[1], flow.shape()[2]);
    let area = width * height;
    let motion = flow
        .data()
        .chunks_exact(area * 8)
        .zip(consistent.data().chunks_exact(area))
        .map(|(flow, consistent)| {
            let lane = |at: usize| {
                flow.chunks_exact(8)
                    .map(|uv| f32::from_le_bytes(uv[at..at + 4].try_into().unwrap()))
                    .collect()
            };
            Motion {
                backward: Flow {
                    width,
                    height,
                    u: lane(0),
                    v: lane(4),
                },
                consistent: consistent.to_vec(),
                ..Motion::default()
            }
        })
        .collect();
    Golden {
        films,
        motion,
        expected: serde_json::from_str(text).unwrap(),
    }
}

/// Every figure within 5 % of what the yardstick says of the same films with the same flow.
#[test]
fn agrees_with_the_yardstick() {
    let Golden {
        films: [input, stylised, baseline],
        motion,
        expected,
    } = golden();
    let mut measure = Measure::default();
    for t in 0..input.len() {
        let motion = t.checked_sub(1).map(|t| &motion[t]);
        measure.push(
            input[t].clone(),
            stylised[t].clone(),
            Some(baseline[t].clone()),
            motion,
        );
    }
    let measured = measure.finish().unwrap();
    let against = measured.against.clone().unwrap();
    assert_eq!((measured.frames, measured.cuts), (input.len(), 0));
    let close = |name: &str, got: f64, wanted: &serde_json::Value| {
        let wanted = wanted.as_f64().unwrap();
        println!("{name}: {got:.5}, the yardstick says {wanted:.5}");
        assert!((got / wanted - 1.0).abs() < 0.05, "{name}: {got}, {wanted}");
    };
    close("e_stab", measured.e_stab, &expected["e_stab"]);
    close("input", measured.e_stab_input, &expected["e_stab_input"]);
    let baseline = &expected["e_stab_baseline"];
    close("baseline", against.e_stab_baseline, baseline);
    close("lag", against.lag.unwrap(), &expected["lag"]);
    for (octave, got) in against.texture.into_iter().enumerate() {
        close(
            &format!("octave {octave}"),
            got,
            &expected["texture"][octave],
        );
    }
}

/// What a run prints of itself is sampled, but near.
#[test]
fn the_sampled_measure_is_near() {
    let Golden {
        films: [input, stylised, _],
        motion,
        expected,
    } = golden();
    for (film, name) in [(input, "e_stab_input"), (stylised, "e_stab")] {
        let mut running = Running::default();
        for (t, picture) in film.iter().enumerate() {
            let tracks = t.checked_sub(1).map(|t| Tracks::some(&motion[t]));
            running.push(picture, tracks.as_ref());
        }
        let got = running.result().unwrap();
        let wanted = expected[name].as_f64().unwrap();
        assert!((got / wanted - 1.0).abs() < 0.15, "{name}: {got}, {wanted}");
    }
}

/// A film that stands still under motion that is none measures zero; a cut is left out and counted.
#[test]
fn a_still_film_measures_zero_and_a_cut_is_left_out() {
    let (width, height) = (40, 32);
    let still = |consistent: u8| Motion {
        backward: Flow {
            width,
            height,
            u: vec![0.0; width * height],
            v: vec![0.0; width * height],
        },
        consistent: vec![consistent; width * height],
        ..Motion::default()
    };
    let picture = |value: u8| Picture::new(width, height, vec![value; width * height * 3]).unwrap();
    let mut measure = Measure::default();
    measure.push(picture(9), picture(60), None, None);
    measure.push(picture(9), picture(60), None, Some(&still(1)));
    measure.push(picture(200), picture(10), None, Some(&still(0)));
    let measured = measure.finish().unwrap();
    assert_eq!((measured.frames, measured.cuts), (3, 1));
    assert_eq!((measured.e_stab, measured.e_stab_input), (0.0, 0.0));
    assert!(measured.against.is_none());
    assert!(Measure::default().finish().is_none());
}

/// Makes a lossless film of a moving picture with the `ffmpeg` program.
fn film(folder: &Path, name: &str, size: &str, rate_hz: u32, frames: u32) {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg(format!("testsrc2=s={size}:r={rate_hz}"))
        .args(["-frames:v", &frames.to_string()])
        .args(["-c:v", "ffv1", "-pix_fmt", "yuv444p", name])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(status.success(), "{name}");
}

/// Runs `allaprima measure` with the words of `line`.
fn run(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_allaprima"));
    command.arg("measure").args(line.split(' '));
    command.current_dir(folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn films_that_do_not_belong_together_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for (name, size, rate_hz, frames) in [
        ("input.mkv", "64x48", 25, 4),
        ("slow.mkv", "64x48", 10, 4),
        ("wide.mkv", "80x48", 25, 4),
        ("large.mkv", "128x96", 25, 4),
        ("short.mkv", "64x48", 25, 3),
        ("long.mkv", "64x48", 25, 6),
    ] {
        film(folder.path(), name, size, rate_hz, frames);
    }
    for (line, note) in [
        ("input.mkv input.mkv", None),
        ("input.mkv input.mkv --baseline input.mkv", None),
        ("large.mkv input.mkv", None),
        ("input.mkv long.mkv --frames 3 --baseline short.mkv", None),
        (
            "input.mkv slow.mkv",
            Some("slow.mkv has 10.00 frames/s and input.mkv has 25.00"),
        ),
        (
            "input.mkv input.mkv --baseline slow.mkv",
            Some("slow.mkv has 10.00 frames/s"),
        ),
        (
            "wide.mkv input.mkv",
            Some("wide.mkv is 80x48 and input.mkv is 64x48, of another shape"),
        ),
        (
            "input.mkv short.mkv",
            Some("input.mkv goes on after 3 frames"),
        ),
        (
            "input.mkv input.mkv --baseline short.mkv",
            Some("short.mkv ends after 3 frames"),
        ),
        (
            "input.mkv input.mkv --baseline long.mkv",
            Some("long.mkv goes on after 4 frames"),
        ),
    ] {
        let output = run(folder.path(), &format!("{line} --json"));
        let said = text(&output.stderr);
        assert!(output.status.success(), "{line}: {said}");
        match note {
            Some(note) => {
                assert!(said.starts_with("note: "), "{line}: {said}");
                assert!(said.contains(note), "{line}: {said}");
                assert_eq!(said.lines().count(), 1, "{line}: {said}");
            }
            None => assert_eq!(said, "", "{line}"),
        }
        let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(figures["frames"].as_u64() >= Some(3), "{line}: {figures}");
    }
    let output = run(folder.path(), "input.mkv input.mkv --baseline wide.mkv");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("size of the painting"));
}

#[test]
fn pictures_that_cannot_be_written_are_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    film(folder.path(), "a.mkv", "64x48", 25, 4);
    for (outputs, status, reason) in [
        (
            "--plot missing/p.svg",
            1,
            "the folder missing does not exist",
        ),
        (
            "--strip missing/s.png",
            1,
            "the folder missing does not exist",
        ),
        ("--plot p.pdf", 2, "use .svg, .png, .jpg or .webp"),
        ("--strip s.svg", 2, "use .png, .jpg or .webp"),
    ] {
        let output = run(folder.path(), &format!("a.mkv a.mkv {outputs}"));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{outputs}: {said}");
        assert!(said.contains(reason), "{outputs}: {said}");
        assert_eq!(text(&output.stdout), "", "{outputs}");
    }
    let output = run(
        folder.path(),
        "a.mkv a.mkv --plot p.svg --strip s.png --strip-at 2",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(folder.path().join("p.svg").is_file() && folder.path().join("s.png").is_file());
    // The figures are there even where a picture is not to be had.
    let output = run(folder.path(), "a.mkv a.mkv --strip late.png --strip-at 9");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("e_stab"));
    assert!(text(&output.stderr).contains("lower --strip-at"));
}
