//! Pictures, styles, models and `bench`.

use super::*;

#[test]
fn one_broken_picture_does_not_stop_the_rest() {
    let folder = TempDir::new().unwrap();
    let pictures = folder.path().join("pictures");
    fs::create_dir(&pictures).unwrap();
    fs::copy(photo("chelsea.png"), pictures.join("a.png")).unwrap();
    fs::write(pictures.join("b.jpg"), "no picture").unwrap();
    fs::write(pictures.join("notes.txt"), "none").unwrap();
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
    assert!(text.contains("1 in pictures is no picture"), "{text}");
    let painted: Vec<_> = ["a.png", "c.jpg"]
        .map(|name| image::open(folder.path().join("out").join(name)).unwrap())
        .into();
    assert_eq!(painted[0].width().max(painted[0].height()), 128);
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 2);
}

#[test]
fn a_style_picture_that_ends_too_soon_is_told() {
    let folder = TempDir::new().unwrap();
    let whole = fs::read(photo("coffee.jpg")).unwrap();
    let style = folder.path().join("style.jpg");
    let input = photo("chelsea.png");
    for (bytes, told) in [(&whole[..whole.len() / 2], true), (&whole[..], false)] {
        fs::write(&style, bytes).unwrap();
        let size = ["--max-size", "64", "-o", "out.png", "--overwrite"];
        let what = ["image", &input, "--style-image", "style.jpg"];
        let output = run(&[&what[..], &size[..]].concat(), &folder);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(
            stderr(&output).contains("style.jpg ends too soon"),
            told,
            "{}",
            stderr(&output)
        );
        let quiet = run(&[&what[..], &size[..], &["--quiet"]].concat(), &folder);
        assert!(quiet.stderr.is_empty(), "{}", stderr(&quiet));
        let sheet = ["styles", "--sheet", "style.jpg", "-o", "sheet.png"];
        let output = run(
            &[&sheet[..], &["--tile", "64", "--overwrite"]].concat(),
            &folder,
        );
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("style.jpg ends too soon"), told);
    }
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

/// Without strength nothing changes, whichever engine paints; and a film is told from a picture in any company.
#[test]
fn no_strength_changes_nothing_and_films_are_told() {
    let folder = TempDir::new().unwrap();
    image::open(photo("coffee.jpg"))
        .unwrap()
        .thumbnail(64, 64)
        .into_rgb8()
        .save(folder.path().join("small.png"))
        .unwrap();
    let before = image::open(folder.path().join("small.png")).unwrap();
    for engine in ["fast", "optimize"] {
        let output = run(
            &[
                "image",
                "small.png",
                "-o",
                "out.png",
                "--overwrite",
                "--style-image",
                &photo("chelsea.png"),
                "--engine",
                engine,
                "--strength",
                "0",
            ],
            &folder,
        );
        assert!(output.status.success(), "{engine}: {}", stderr(&output));
        let out = image::open(folder.path().join("out.png")).unwrap();
        assert_eq!(out.into_rgb8(), before.to_rgb8(), "{engine}");
    }
    // Nor does steadying change a film that is not painted.
    clip(&folder, "clip.mp4", "96x64", "1");
    let mut frames = Vec::new();
    for steady in ["1", "off"] {
        let output = run(
            &[
                "video",
                "clip.mp4",
                "-o",
                "film.mkv",
                "--overwrite",
                "--lossless",
                "--strength",
                "0",
                "--steady",
                steady,
            ],
            &folder,
        );
        assert!(output.status.success(), "{steady}: {}", stderr(&output));
        let decoded = Command::new("ffmpeg")
            .args([
                "-v", "error", "-i", "film.mkv", "-map", "0:v", "-f", "framemd5", "-",
            ])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(decoded.stdout.len() > 500, "{decoded:?}");
        frames.push(decoded.stdout);
    }
    assert_eq!(frames[0], frames[1]);
    fs::write(folder.path().join("film.mp4"), b"no picture").unwrap();
    let output = run(&["image", "film.mp4", "small.png", "-o", "two"], &folder);
    assert!(
        stderr(&output).contains("film.mp4 is a film"),
        "{}",
        stderr(&output)
    );
    assert!(folder.path().join("two/small.png").is_file());
}

#[test]
fn styles_are_listed_and_sheeted() {
    let folder = TempDir::new().unwrap();
    let list = run(&["styles", "--json"], &folder);
    let list = json(&list);
    assert_eq!(list.as_array().unwrap().len(), 26);
    assert_eq!(list[19]["name"], "starry");
    // A pack that comes with the program, by its name alone.
    let pack = run(&["styles", "van_gogh.safetensors", "--json"], &folder);
    assert!(pack.status.success(), "{}", stderr(&pack));
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
    let output = run(&["doctor", "--models", "."], &folder);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("! models"));
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

/// Paints by steps, with unfinished pictures and a log beside the output.
fn by_steps(more: &[&str], folder: &TempDir) -> Output {
    let style = photo("coffee.jpg");
    let models = concat!(env!("CARGO_MANIFEST_DIR"), "/models");
    let usual = "image a.png b.png -o out --engine optimize --quality draft --iterations 2 --max-size 64 --quiet";
    let mut args: Vec<&str> = usual.split(' ').collect();
    args.extend(["--models", models, "--style-image", &style]);
    args.extend(more);
    run(&args, folder)
}

#[test]
fn what_is_read_is_never_replaced() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    clip(&folder, "film.mp4", "64x64", "0.5");
    for name in ["photo.png", "style.png", "mask.png"] {
        fs::copy(photo("chelsea.png"), at(name)).unwrap();
    }
    fs::hard_link(at("style.png"), at("link.png")).unwrap();
    for line in [
        "image photo.png -o photo.png",
        "image photo.png -o style.png --style starry:0.5,style.png:0.5",
        "image photo.png -o link.png --style-image style.png",
        "image photo.png -o mask.png --mask mask.png",
        "image photo.png -o x.png --engine optimize --style-image style.png --loss-log photo.png",
        "image photo.png -o x.png --engine optimize --style-image style.png --loss-log x.png",
        "video film.mp4 -o x.mp4 --engine optimize --style-image style.png --loss-log film.mp4",
        "video film.mp4 -o style.png --style-at 0:starry,1:style.png",
        "live --camera film.mp4 --window off --record film.mp4",
        "styles --sheet photo.png -o photo.png",
        "measure film.mp4 film.mp4 --strip photo.png --plot ./photo.png",
        "train --style style.png --data . -o photo.safetensors --steps 1",
        "train --distil --data . --from style.png -o style.safetensors --steps 1",
    ] {
        let mut args: Vec<&str> = line.split(' ').collect();
        args.push("--overwrite");
        let output = run(&args, &folder);
        assert_eq!(output.status.code(), Some(2), "{line}: {output:?}");
        for name in ["photo.png", "style.png", "mask.png"] {
            assert_eq!(
                fs::read(at(name)).unwrap(),
                fs::read(photo("chelsea.png")).unwrap(),
                "{line}"
            );
        }
    }
    assert_eq!(count_frames(&at("film.mp4")), 5);
}

#[test]
fn a_folder_that_nothing_came_into_is_not_left_behind() {
    let folder = TempDir::new().unwrap();
    let output = run(&["image", "missing.png", "-o", "new/deep/x.png"], &folder);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(files(&folder), [""; 0]);
}

#[test]
fn unfinished_paintings_and_losses_replace_nothing() {
    let folder = TempDir::new().unwrap();
    for name in ["a.png", "b.png"] {
        fs::copy(photo("chelsea.png"), folder.path().join(name)).unwrap();
    }
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("out")).unwrap();
    fs::write(at("out/a-0001.png"), "mine").unwrap();
    let output = by_steps(&["--save-every", "1", "--loss-log", "l.csv"], &folder);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("a-0001.png exists"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::read(at("out/a-0001.png")).unwrap(), b"mine");
    // Only of the picture whose file was in the way nothing was written.
    image::open(at("out/b-0001.png")).unwrap();
    assert!(!at("out/a-0002.png").exists());
    let log = fs::read_to_string(at("l.csv")).unwrap();
    assert!(
        log.starts_with("frame,size") && log.lines().count() > 4,
        "{log}"
    );

    let args = ["--loss-log", "l.csv"];
    assert_eq!(by_steps(&args, &folder).status.code(), Some(1), "it exists");
    // What fails before the first step leaves logs as they were, and none where none was.
    for (name, before) in [("l.csv", Some(&log)), ("new.csv", None)] {
        let args = ["--loss-log", name, "--overwrite", "--mask", "no.png"];
        assert_ne!(by_steps(&args, &folder).status.code(), Some(0));
        assert_eq!(fs::read_to_string(at(name)).ok().as_ref(), before, "{name}");
    }
}

#[test]
fn nothing_is_painted_for_nothing() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (cat, coffee) = (photo("chelsea.png"), photo("coffee.jpg"));
    fs::create_dir(at("folder.png")).unwrap();
    fs::write(at("dark.png"), "").unwrap();
    image::GrayImage::new(8, 8).save(at("dark.png")).unwrap();
    let refused = |args: &[&str], status: i32, says: &str| {
        let output = run(args, &folder);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
        assert!(text.contains(says), "{args:?}: {text}");
    };
    refused(&["image", &cat, &coffee, "-o", "two.png"], 2, "two.png/");
    assert!(!at("two.png").exists());
    let sheet = ["styles", "--sheet", &cat, "-o", "missing/a.png"];
    refused(&sheet, 1, "missing");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", at("link.png")).unwrap();
        refused(&["image", &cat, "-o", "link.png"], 1, "--overwrite");
    }
    // A painting of the same run is not replaced by one that is unfinished.
    fs::create_dir(at("in")).unwrap();
    for name in ["in/u.png", "in/u-0001.png"] {
        fs::copy(&cat, at(name)).unwrap();
    }
    let run_of_two = [
        "image",
        "in",
        "-o",
        "out",
        "--engine",
        "optimize",
        "--style-image",
        &coffee,
        "--max-size",
        "64",
        "--iterations",
        "2",
        "--save-every",
        "1",
        "--overwrite",
    ];
    let output = run(&run_of_two, &folder);
    assert!(
        stderr(&output).contains("painted in this run"),
        "{}",
        stderr(&output)
    );
    assert!(!at("out/u-0002.png").exists() && at("out/u-0001-0001.png").exists());
    let fine = format!("{}/models/fine.safetensors", env!("CARGO_MANIFEST_DIR"));
    for (style, says) in [
        ("in", "'in' is a folder"),
        ("in/", "'in/' is a folder"),
        (
            &format!("{fine}:nope"),
            &format!("`allaprima styles {fine}`"),
        ),
    ] {
        refused(&["image", &cat, "-o", "s.png", "--style", style], 2, says);
    }
    // A format that cannot hold it.
    let wide = image::GrayImage::new(16_400, 32);
    wide.save(at("wide.png")).unwrap();
    let says = "use .png or --max-size 16383";
    refused(&["image", "wide.png", "-o", "wide.webp"], 1, says);
    // A mask with nothing in it is told.
    let masked = [
        "image",
        &cat,
        "-o",
        "m.png",
        "--mask",
        "dark.png",
        "--max-size",
        "64",
    ];
    refused(&masked, 0, "black throughout");
    // One that is white where the rest is painted is, too; a grey one has something in it.
    for (value, told) in [(255, true), (80, false)] {
        image::GrayImage::from_pixel(8, 8, image::Luma([value]))
            .save(at("even.png"))
            .unwrap();
        let output = run(
            &[
                "image",
                &cat,
                "-o",
                "m.png",
                "--mask",
                "even.png",
                "--mask-invert",
                "--max-size",
                "64",
                "--overwrite",
            ],
            &folder,
        );
        let text = stderr(&output);
        assert!(output.status.success(), "{text}");
        assert_eq!(text.contains("white throughout"), told, "{value}: {text}");
        assert!(!text.contains("black throughout"), "{value}: {text}");
    }
}

/// What a script wants: which painting is of which picture, models where the variable is empty, and errors that name the input.
#[test]
fn a_folder_is_summed_up_for_scripts() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("in")).unwrap();
    for name in ["b.png", "a.png"] {
        image::RgbImage::from_fn(40, 40, |x, y| {
            image::Rgb([(6 * x) as u8, (6 * y) as u8, 90])
        })
        .save(at("in").join(name))
        .unwrap();
    }
    // What a Mac keeps beside a picture is none.
    fs::write(at("in").join("._a.png"), b"Mac OS X").unwrap();
    let output = allaprima()
        .args(["image", "in", "-o", "out", "--json"])
        .env("ALLAPRIMA_MODELS", "")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let paintings = json(&output)["paintings"].clone();
    assert_eq!(
        paintings,
        serde_json::json!([
            {"input": "in/a.png", "output": "out/a.png"},
            {"input": "in/b.png", "output": "out/b.png"},
        ])
    );
    let output = run(&["image", "photos", "-o", "else"], &folder);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("photos does not exist"),
        "{}",
        stderr(&output)
    );
}
