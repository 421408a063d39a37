//! `train --style`: a style out of a painting, and the pack that it leaves.

use super::*;

/// A folder of photos, large enough.
fn photos(folder: &TempDir) {
    let data = folder.path().join("photos");
    fs::create_dir(&data).unwrap();
    for name in ["astronaut.jpg", "chelsea.png", "coffee.jpg"] {
        let picture = image::open(photo(name)).unwrap();
        let name = name.replace(".jpg", ".png");
        picture.thumbnail(260, 260).save(data.join(name)).unwrap();
    }
}

fn painting(name: &str) -> String {
    photo(&format!("paintings/van_gogh_{name}.jpg"))
}

/// Short trainings of two styles.
fn train(folder: &TempDir, output: &str, more: &[&str]) -> std::process::Output {
    let (cafe, fields) = (painting("night_cafe"), painting("harvest_at_la_crau"));
    let mut args = vec![
        "train",
        "--style",
        &cafe,
        "--name",
        "cafe",
        "--style",
        &fields,
        "--data",
        "photos",
        "-o",
        output,
        "--from",
        "reference",
        "--crop",
        "64",
        "--steps",
        "4",
    ];
    args.extend(more);
    run(&args, folder)
}

#[test]
fn a_style_of_a_painting_is_trained_and_painted_with() {
    let folder = TempDir::new().unwrap();
    photos(&folder);
    let output = train(&folder, "mine.safetensors", &["--no-speed"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = "cafe, van-gogh-harvest-at-la-crau → mine.safetensors";
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
    let path = |name: &str| folder.path().join(name);
    for file in ["mine.checkpoint", "mine.jsonl", "mine.png"] {
        assert!(path(file).is_file(), "{file} is missing");
    }
    let again = train(&folder, "again.safetensors", &["--no-speed"]);
    assert!(again.status.success());
    assert_eq!(
        fs::read(path("mine.safetensors")).unwrap(),
        fs::read(path("again.safetensors")).unwrap(),
        "the same steps give the same file"
    );

    let listed = run(&["styles", "mine.safetensors", "--json"], &folder);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let names: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].clone())
        .collect();
    assert_eq!(names, ["cafe", "van-gogh-harvest-at-la-crau"]);
    assert!(listed[0]["flicker"].as_f64().unwrap() > 0.0);
    let cat = photo("chelsea.png");
    for (style, file) in [
        ("mine.safetensors:cafe", "a.png"),
        ("mine.safetensors:1", "b.png"),
    ] {
        let output = run(
            &[
                "image",
                &cat,
                "-o",
                file,
                "--max-size",
                "96",
                "--style",
                style,
            ],
            &folder,
        );
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_ne!(
        fs::read(path("a.png")).unwrap(),
        fs::read(path("b.png")).unwrap()
    );

    // Taken up: more steps of the same styles; not of others.
    let output = train(&folder, "mine.safetensors", &["--resume", "--brush", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("same options"),
        "{}",
        stderr(&output)
    );
    let output = train(&folder, "mine.safetensors", &["--resume", "--steps", "6"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let listed = run(&["styles", "mine.safetensors"], &folder);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("paints 640x360 in") && listed.contains("flickers"),
        "{listed}"
    );

    // A pack is a network to train for, too; its styles may stay.
    let church = painting("church_at_auvers");
    let output = run(
        &[
            "train",
            "--style",
            &church,
            "--name",
            "auvers",
            "--keep-styles",
            "--data",
            "photos",
            "-o",
            "more.safetensors",
            "--from",
            "mine.safetensors",
            "--crop",
            "64",
            "--steps",
            "2",
            "--no-speed",
        ],
        &folder,
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let listed = run(&["styles", "more.safetensors"], &folder);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        ["auvers", "cafe", "harvest"]
            .iter()
            .all(|name| listed.contains(name)),
        "{listed}"
    );
}

#[test]
fn nothing_beside_the_output_is_replaced_unasked() {
    let folder = TempDir::new().unwrap();
    photos(&folder);
    let path = |name: &str| folder.path().join(name);
    for name in ["mine.png", "mine.svg", "mine.jsonl"] {
        fs::write(path(name), "precious").unwrap();
        let output = train(&folder, "mine.safetensors", &["--no-speed"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
        assert_eq!(fs::read(path(name)).unwrap(), b"precious");
        fs::remove_file(path(name)).unwrap();
    }
    // The painting itself, whatever is allowed.
    fs::copy(photo("chelsea.png"), path("chelsea.png")).unwrap();
    let args = ["train", "--style", "chelsea.png", "--data", "photos"];
    let more = ["-o", "chelsea.safetensors", "--steps", "1", "--overwrite"];
    let output = run(&[&args[..], &more].concat(), &folder);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("would replace"));
}

#[test]
fn photos_that_cannot_be_used_are_left_out() {
    let folder = TempDir::new().unwrap();
    photos(&folder);
    let data = folder.path().join("photos");
    let icon = image::RgbImage::from_pixel(16, 16, image::Rgb([9, 99, 199]));
    icon.save(data.join("icon.png")).unwrap();
    let whole = fs::read(data.join("coffee.png")).unwrap();
    fs::write(data.join("broken.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(data.join("notes.txt"), "no picture").unwrap();
    fs::write(data.join("empty.jpg"), "").unwrap();
    fs::write(data.join("words.PNG"), "no picture").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(&data, data.join("again")).unwrap();
    let output = train(&folder, "mine.safetensors", &["--no-speed"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stderr(&output);
    for told in ["broken.png", "empty.jpg", "words.PNG"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    // Three are left, and none of them can be spared.
    assert!(
        text.contains("3 photos to train with and 1 to judge by (a photo that is trained with)"),
        "{text}"
    );
    for untold in ["notes.txt", "kept aside"] {
        assert!(!text.contains(untold), "{untold}: {text}");
    }
    // An output among the photos: its own preview is none of them, and no photo that may be replaced.
    for (more, status) in [("--no-speed", 0), ("--resume", 0), ("--overwrite", 2)] {
        let output = train(&folder, "photos/mine.safetensors", &[more]);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(status), "{more}: {text}");
    }
}

#[test]
fn what_cannot_be_trained_is_told() {
    let folder = TempDir::new().unwrap();
    photos(&folder);
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("broken.jpg"), "no picture").unwrap();
    fs::write(folder.path().join("none.safetensors"), "no pack").unwrap();
    let cafe = painting("night_cafe");
    let refused = |more: &[&str], code: i32, says: &str| {
        let output = run(
            &[&["train", "-o", "out.safetensors"], more].concat(),
            &folder,
        );
        let text = stderr(&output);
        assert!(
            output.status.code() == Some(code) && text.contains(says),
            "{more:?}: {:?} {text}",
            output.status
        );
        assert!(!folder.path().join("out.safetensors").exists(), "{more:?}");
    };
    let data = ["--data", "photos", "--from", "reference"];
    refused(
        &[&data[..], &["--style", "broken.jpg"]].concat(),
        1,
        "broken.jpg",
    );
    let known = [&data[..], &["--style", &cafe]].concat();
    for (more, says) in [
        ("--steadiness nan", "0 to 10000"),
        ("--learning-rate -1", "to 1"),
        ("--learning-rate inf", "to 1"),
        ("--resume", "leave --resume out"),
    ] {
        let more: Vec<&str> = more.split(' ').collect();
        refused(&[&known[..], &more].concat(), 2, says);
    }
    let checkpoint = folder.path().join("out.checkpoint");
    for damaged in ["", "no checkpoint of a training"] {
        fs::write(&checkpoint, damaged).unwrap();
        let says = "--overwrite instead of --resume";
        refused(&[&known[..], &["--resume"]].concat(), 1, says);
    }
    fs::remove_file(&checkpoint).unwrap();
    refused(
        &[&data[..], &["--style", "missing.jpg"]].concat(),
        1,
        "missing.jpg",
    );
    refused(
        &["--data", "empty", "--style", &cafe, "--from", "reference"],
        1,
        "empty holds no photos",
    );
    let planes = ["--data", "photos", "--distil", "--style-weight", "2"];
    refused(&planes, 2, "--style-weight belongs to");
    refused(
        &[
            "--data",
            "photos",
            "--style",
            &cafe,
            "--from",
            "none.safetensors",
        ],
        1,
        "none.safetensors",
    );
    refused(
        &[&data[..], &["--style", &cafe, "--name", "neutral"]].concat(),
        2,
        "--name",
    );
    refused(
        &[&data[..], &["--style", &cafe, "--style", &cafe]].concat(),
        2,
        "taken",
    );
    refused(
        &[
            &data[..],
            &["--style", &cafe, "--name", "starry", "--keep-styles"],
        ]
        .concat(),
        2,
        "starry",
    );
    refused(
        &[&data[..], &["--style", &cafe, "--width", "16"]].concat(),
        2,
        "--width",
    );
    refused(&["--data", "photos"], 2, "--distil");
    let student = ["--data", "photos", "--distil", "--from"];
    refused(&[&student[..], &["reference"]].concat(), 2, "--from");
    refused(
        &[&student[..], &["none.safetensors"]].concat(),
        1,
        "none.safetensors",
    );
    refused(
        &[&student[..], &["fine", "--styles", "comic"]].concat(),
        2,
        "--styles",
    );
    refused(
        &[&student[..], &["fine", "--blocks", "3"]].concat(),
        2,
        "--blocks",
    );
    refused(
        &["--data", "photos", "--distil", "--name", "a"],
        2,
        "--style",
    );
}
