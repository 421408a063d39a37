//! Every option with every command, as docs/options.md says: it works, or it is refused with the reason written there.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};

use allaprima::nn::{
    student_file::{NEUTRAL, StudentFile},
    student_net::StudentConfig,
};
use candle_core::{Device, Tensor};

const COMMANDS: [&str; 4] = ["image", "video", "live", "bench"];
/// What the table's words stand for, and files of the test's folder.
const WORDS: [(&str, &str); 5] = [
    ("PACK", "pack.safetensors"),
    ("PICTURE", "style.png"),
    ("FOLDER", "styles"),
    ("MASK", "mask.png"),
    ("FILM", "film.mkv"),
];

fn picture(path: &Path, (width, height): (u32, u32), colour: impl Fn(u32, u32) -> [u8; 3]) {
    let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb(colour(x, y)));
    image.save(path).unwrap();
}

/// An untrained style pack.
fn pack() -> Vec<u8> {
    let config = StudentConfig {
        blocks: 1,
        ..StudentConfig::SWIFT
    };
    let tensors = config.initial(2, 3, &Device::Cpu).unwrap().into_iter();
    let values = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1().unwrap();
    let student = StudentFile {
        config,
        styles: vec!["gravel".into(), NEUTRAL.into()],
        training: serde_json::Value::Null,
        tensors: tensors.map(|(name, t)| (name, values(t))).collect(),
    };
    student.to_bytes().unwrap()
}

/// A folder with a photo, a film, style pictures, a mask and a style pack, all small.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    picture(&at("photo.png"), (64, 48), |x, y| {
        [(x * 4) as u8, (y * 5) as u8, 90]
    });
    picture(&at("style.png"), (40, 30), |x, y| {
        [200, (x * y % 255) as u8, 40]
    });
    fs::create_dir(at("styles")).unwrap();
    picture(&at("styles/a.png"), (40, 30), |x, _| [(x * 6) as u8, 0, 90]);
    picture(&at("styles/b.png"), (1, 1), |_, _| [10, 200, 90]);
    picture(&at("mask.png"), (64, 48), |x, _| {
        [if x < 32 { 255 } else { 0 }; 3]
    });
    fs::write(at("pack.safetensors"), pack()).unwrap();
    // The program's own film of the photo, moving.
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/bunny.mp4");
    let made = Command::new(env!("CARGO_BIN_EXE_allaprima"))
        .args(["video".into(), sample])
        .args(["-o".into(), at("film.mkv")])
        .args([
            "--duration",
            "0.16",
            "--size",
            "64x48",
            "--opacity",
            "0",
            "--no-audio",
        ])
        .args(["--steady", "off", "--quiet"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    folder
}

fn run(folder: &Path, command: &str, options: &[String], number: usize) -> Output {
    let out = |extension: &str| format!("out-{command}-{number}.{extension}");
    let mut program = Command::new(env!("CARGO_BIN_EXE_allaprima"));
    program.current_dir(folder).arg(command);
    match command {
        "image" => program.args(["photo.png", "-o", &out("png"), "--quiet"]),
        "video" => program.args(["film.mkv", "-o", &out("mkv"), "--quiet"]),
        "live" => program.args([
            "--camera",
            "test",
            "--camera-size",
            "64x48",
            "--window",
            "off",
            "--duration",
            "0.3",
            "--quiet",
        ]),
        _ => program.args(["film.mkv", "--sizes", "64x48", "--frames", "3"]),
    };
    program.args(options).output().unwrap()
}

/// The options of each row with what its four cells say.
fn table() -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/options.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let (options, cells) = row.split_once("` |").unwrap();
        let cells = cells.trim_end_matches('|').split('|');
        (
            options.to_owned(),
            cells.map(|cell| cell.trim().to_owned()).collect(),
        )
    })
    .collect()
}

fn typed(options: &str) -> Vec<String> {
    let mut options = options.to_owned();
    for (word, file) in WORDS {
        options = options.replace(word, file);
    }
    options.split(' ').map(ToOwned::to_owned).collect()
}

#[test]
fn every_option_works_or_is_refused_as_the_table_says() {
    let folder = folder();
    let table = table();
    assert!(table.len() > 20, "the table was not read");
    let wrong = thread::scope(|scope| {
        let columns: Vec<_> = COMMANDS
            .iter()
            .enumerate()
            .map(|(column, command)| {
                let (table, folder) = (&table, folder.path());
                scope.spawn(move || {
                    let rows = table.iter().enumerate();
                    rows.filter_map(|(number, (options, cells))| {
                        let output = run(folder, command, &typed(options), number);
                        let (cell, code) = (&cells[column], output.status.code());
                        let said = String::from_utf8_lossy(&output.stderr).into_owned();
                        let as_written = match cell.strip_prefix("no: ") {
                            Some(reason) => code == Some(2) && said.contains(reason),
                            None => cell == "yes" && code == Some(0),
                        };
                        (!as_written).then(|| {
                            format!("{command} {options}: should be '{cell}', is {code:?}: {said}")
                        })
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        columns
            .into_iter()
            .flat_map(|column| column.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn all_at_once() {
    let folder = folder();
    let all = "--style starry:0.6,PICTURE:0.4 --strength 0.7 --opacity 0.8 --colors match --saturation 1.4 --brush 1.5 \
               --mask person --background wave:0.5,PICTURE:0.5";
    for command in ["image", "video", "live"] {
        let output = run(folder.path(), command, &typed(all), 100);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let all = "--style PACK:gravel:0.6,PICTURE:0.4 --strength 0.7 --colors match --brush 1.5 --mask person \
               --background PACK";
    for command in ["image", "video", "live"] {
        let output = run(folder.path(), command, &typed(all), 102);
        assert!(output.status.success(), "{command}: {output:?}");
    }
    let timed =
        "--style-at 0:starry:0.5,PICTURE:0.5;0.08:PICTURE --opacity 0.8 --mask FILM --mask-invert";
    let output = run(folder.path(), "video", &typed(timed), 101);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn odd_style_pictures() {
    let folder = folder();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let try_style = |name: &str| {
        let options = [
            "--style-image".to_owned(),
            name.to_owned(),
            "--overwrite".to_owned(),
        ];
        run(folder.path(), "image", &options, 200)
    };
    let works = |name: &str| {
        let output = try_style(name);
        assert!(output.status.success(), "{name}: {output:?}");
    };
    picture(&at("tiny.png"), (1, 1), |_, _| [9, 99, 199]);
    works("tiny.png");
    picture(&at("strip.png"), (3000, 2), |x, _| [x as u8, 99, 199]);
    works("strip.png");
    picture(&at("a:b,c.png"), (20, 20), |x, _| [x as u8, 99, 199]);
    works("a:b,c.png");
    let half = image::RgbaImage::from_fn(30, 30, |x, _| image::Rgba([200, 10, 10, (x * 8) as u8]));
    half.save(at("half.png")).unwrap();
    works("half.png");

    let refused = |name: &str, reason: &str| {
        let output = try_style(name);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(
            said.contains(name) && said.contains(reason),
            "{name}: {said}"
        );
    };
    image::RgbaImage::new(30, 30).save(at("clear.png")).unwrap();
    refused("clear.png", "transparent");
    fs::write(at("broken.jpg"), b"\xff\xd8\xff\xe0 this is no picture").unwrap();
    refused("broken.jpg", "cannot be read as a picture");
    refused("missing.jpg", "cannot be opened");
}

#[test]
fn what_an_interrupted_run_painted_is_not_lost() {
    let folder = folder();
    let frames = folder.path().join("out-video-500.mkv.frames");
    let painting = frames.join("000000-0123456789abcdef.png");
    fs::create_dir(&frames).unwrap();
    fs::write(&painting, "").unwrap();
    let optimize = "--engine optimize --style-image style.png --quality draft --iterations 1";
    let refused = run(folder.path(), "video", &typed(optimize), 500);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--resume"));
    let wrong = format!("{optimize} --overwrite --colors match");
    let wrong = run(folder.path(), "video", &typed(&wrong), 500);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(painting.exists());
    let again = format!("{optimize} --resume");
    let again = run(folder.path(), "video", &typed(&again), 500);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    // It belongs to another run, whose paintings are not for this one to delete.
    let left: Vec<_> = fs::read_dir(&frames)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(left, [painting]);
}

/// The numbers of the pictures that a log of losses tells of.
fn logged(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("frame,size,step,seconds,loss")
    );
    let mut frames: Vec<u64> = lines
        .map(|line| line.split(',').next().unwrap().parse().unwrap())
        .collect();
    frames.dedup();
    frames
}

#[test]
fn a_film_whose_painting_was_killed_is_taken_up() {
    let folder = folder();
    let frames = folder.path().join("out.mkv.frames");
    let video = |log: &str| {
        let options = "--engine optimize --style-image style.png --iterations 40 --lossless --quiet --resume --loss-log";
        let mut program = Command::new(env!("CARGO_BIN_EXE_allaprima"));
        program
            .current_dir(folder.path())
            .args(["video", "film.mkv", "-o", "out.mkv"])
            .args(options.split(' '))
            .arg(log);
        program
    };
    let mut first = video("first.csv").spawn().unwrap();
    let painted = || fs::read_dir(&frames).map_or(0, Iterator::count);
    while painted() < 2 {
        assert!(first.try_wait().unwrap().is_none(), "ended by itself");
        thread::sleep(Duration::from_millis(2));
    }
    // SIGKILL: nothing can be tidied up.
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!folder.path().join("out.mkv").exists());
    let again = video("second.csv").output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(folder.path().join("out.mkv").exists() && !frames.exists());
    let repainted = logged(&folder.path().join("second.csv"));
    // The second may have been half written.
    assert!(
        repainted[0] >= 1 && repainted.last() == Some(&3),
        "{repainted:?}"
    );
    // A log is not replaced unasked.
    let third = video("second.csv").output().unwrap();
    assert_eq!(third.status.code(), Some(1), "{third:?}");
}

#[test]
fn a_loss_that_falls_no_further_ends_the_picture() {
    let folder = folder();
    let steps = |settled: &str| {
        let log = folder.path().join(format!("{settled}.csv"));
        let options = ["--style-image", "style.png", "--iterations", "60"];
        let painted = Command::new(env!("CARGO_BIN_EXE_allaprima"))
            .current_dir(folder.path())
            .args([
                "image",
                "photo.png",
                "-o",
                "out.png",
                "--overwrite",
                "--quiet",
            ])
            .args(["--engine", "optimize", "--settled", settled, "--loss-log"])
            .arg(&log)
            .args(options)
            .output()
            .unwrap();
        assert!(painted.status.success(), "{painted:?}");
        fs::read_to_string(log).unwrap().lines().count() - 1
    };
    assert_eq!(steps("0"), 60);
    let fewer = steps("20");
    assert!((11..60).contains(&fewer), "{fewer}");
}

#[test]
fn a_film_in_several_passes_is_taken_up_in_the_second() {
    let folder = folder();
    let frames = folder.path().join("out.mkv.frames");
    let video = |log: &str| {
        let options = "--engine optimize --style-image style.png --iterations 40 --passes 2 --lossless --quiet --resume \
                       --mask mask.png --background styles/a.png --loss-log";
        let mut program = Command::new(env!("CARGO_BIN_EXE_allaprima"));
        program
            .current_dir(folder.path())
            .args(["video", "film.mkv", "-o", "out.mkv"])
            .args(options.split(' ').filter(|option| !option.is_empty()))
            .arg(log);
        program
    };
    let mut first = video("first.csv").spawn().unwrap();
    // Of each of four pictures the picture, its mask and its painting, and one painting of the second pass.
    let kept = || fs::read_dir(&frames).map_or(0, Iterator::count);
    while kept() < 4 * 3 + 1 {
        assert!(first.try_wait().unwrap().is_none(), "ended by itself");
        thread::sleep(Duration::from_millis(2));
    }
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!folder.path().join("out.mkv").exists());
    let painted = logged(&folder.path().join("first.csv"));
    assert!(painted.starts_with(&[0, 1, 2, 3]), "{painted:?}");
    let again = video("second.csv").output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(folder.path().join("out.mkv").exists() && !frames.exists());
    // The second pass goes backwards; of the first nothing is repeated.
    let repainted = logged(&folder.path().join("second.csv"));
    assert!(
        repainted.len() <= 4 && repainted.last() == Some(&0),
        "{repainted:?}"
    );
    assert!(repainted.is_sorted_by(|a, b| a > b), "{repainted:?}");
}

/// Films of either engine are steadied, and say how steady they are, unless that is off.
#[test]
fn optimised_films_are_steadied_too() {
    let folder = folder();
    for (steady, expected) in [("1", true), ("0", false), ("off", false)] {
        let options = format!(
            "video film.mkv -o out.mkv --engine optimize --style-image style.png --iterations 2 --quiet --json --overwrite --steady {steady}"
        );
        let output = Command::new(env!("CARGO_BIN_EXE_allaprima"))
            .current_dir(folder.path())
            .args(options.split(' '))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            summary["stages"]["steady"].is_object(),
            expected,
            "{summary}"
        );
    }
}
