//! `allaprima video`, and what is wrong usage.

use super::*;

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
    assert_eq!(summary["pack"], "reference");
    assert_eq!(count_frames(&folder.path().join("out.mp4")), 10);
    assert_eq!(files(&folder), ["in.mp4", "out.mp4"]);
    // A picture is a style of no pack.
    let style = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/coffee.jpg");
    let args = "video in.mp4 -o o.mkv --duration 0.2 --json --style-image";
    let args = args.split(' ').chain(style.to_str());
    let summary = json(&run(&args.collect::<Vec<_>>(), &folder));
    assert!(
        summary["frames"] == 2 && summary.get("pack").is_none(),
        "{summary}"
    );
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
fn of_an_option_given_twice_the_last_counts() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "0.2");
    let args = "video in.mp4 -o a.mp4 --opacity 1 -o b.mp4 --opacity 0 --quiet --quiet";
    let output = run(&args.split(' ').collect::<Vec<_>>(), &folder);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(files(&folder), ["b.mp4", "in.mp4"]);
}

/// Pictures wait for a pass backwards; sound does not wait with them.
#[test]
fn further_passes_are_steadier_and_lose_nothing() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "96x64", "5");
    let packets = |file: &str, stream: &str| {
        let entries = ["-show_entries", "packet=pts,duration", "-of", "csv"];
        let probe = Command::new("ffprobe")
            .args(["-v", "error", "-select_streams", stream])
            .args(entries)
            .arg(folder.path().join(file))
            .output()
            .unwrap();
        let text = String::from_utf8(probe.stdout).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let mut errors = Vec::new();
    for passes in ["1", "2", "3"] {
        let file = format!("{passes}.mp4");
        let args = ["video", "in.mp4", "-o", &file, "--json", "--passes", passes];
        let output = run(&args, &folder);
        assert!(output.status.success(), "{}", stderr(&output));
        let steadiness = &json(&output)["steadiness"];
        errors.push(["e_stab", "e_stab_input"].map(|key| steadiness[key].as_f64().unwrap()));
        for stream in ["v", "a"] {
            assert_eq!(packets(&file, stream), packets("1.mp4", stream), "{file}");
        }
        assert_eq!(count_frames(&folder.path().join(file)), 50);
    }
    assert!(errors[1][0] < 0.95 * errors[0][0], "{errors:?}");
    assert!(errors[2][0] < 0.95 * errors[0][0], "{errors:?}");
    assert!(errors.iter().all(|error| error[1] == errors[0][1]));
}

/// Pictures that are not painted wait for those that are; sound and colours stay where they belong.
#[test]
fn pictures_that_are_left_out_are_there_all_the_same() {
    let folder = TempDir::new().unwrap();
    // A photo that slides by a pixel and a half a picture, black bars around it and a cut in the middle.
    let photo = photo("astronaut.jpg");
    let slide = |from: &str| format!("crop=192:80:{from}+1.5*n:100,pad=192:112:0:16");
    let graph = format!(
        "[0]split[a][b];[a]{},trim=end_frame=13[c];[b]{},hue=h=90,trim=end_frame=12[d];[c][d]concat,format=yuv420p",
        slide("20"),
        slide("180")
    );
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-loop", "1", "-framerate", "25", "-i"])
        .arg(&photo)
        .args(["-f", "lavfi", "-i", "sine=d=1", "-filter_complex", &graph])
        .args(["-crf", "10"])
        .arg(folder.path().join("in.mp4"))
        .status()
        .unwrap();
    assert!(status.success());
    let mut films = Vec::new();
    for every in ["1", "3"] {
        let file = format!("{every}.mkv");
        let options = "--lossless --quality swift --style starry --json --paint-every";
        let mut args = vec!["video", "in.mp4", "-o", &file];
        args.extend(options.split(' '));
        args.push(every);
        let output = run(&args, &folder);
        assert!(output.status.success(), "{}", stderr(&output));
        let summary = json(&output);
        assert_eq!(
            (&summary["frames"], &summary["steadiness"]["cuts"]),
            (&25.into(), &1.into())
        );
        assert_eq!(summary["between"].as_u64().unwrap() > 8, every == "3");
        let told = stderr(&output).contains("of those before and behind");
        assert_eq!(told, every == "3", "{}", stderr(&output));
        films.push(frames(&folder.path().join(&file), 3 * 192 * 112));
    }
    let [all, some] = &films[..] else {
        unreachable!()
    };
    assert_eq!((all.len(), some.len()), (25, 25));
    let apart = |a: &[u8], b: &[u8]| {
        let sum: u64 = a
            .iter()
            .zip(b)
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        sum as f64 / a.len() as f64
    };
    for (t, (a, b)) in all.iter().zip(some).enumerate() {
        // The first and the last picture of a scene are painted, the first ones as they are.
        assert_eq!(a == b, t == 0 || t == 13, "{t}");
        assert!(apart(a, b) < 12.0, "{t}: {}", apart(a, b));
        // The bars stay black.
        let bars = [&b[..3 * 192 * 16], &b[3 * 192 * 96..]].concat();
        assert!(bars.iter().all(|&value| value < 24), "{t}");
    }
}

#[test]
fn wrong_usage_is_status_2_and_names_the_option() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "0.2");
    let cases: [(&[&str], &str); 26] = [
        (&["--style", "stary"], "starry"),
        (&["--style", "26"], "0 to 25"),
        (&["--style", "wave:0"], "weight"),
        (&["--style", "wave:3e38,starry:3e38"], "weight"),
        (&["--strength", "1.5"], "--strength"),
        (&["--strength", "-0.1"], "'--strength <0..1>'"),
        (&["--start", "-1"], "'--start <TIME>'"),
        (&["--duration", "99999999999999999999"], "at most"),
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
        (&["-o", "out.avi"], "avi"),
        (&["--passes", "4"], "1 to 3"),
        (&["--passes", "2", "--steady", "off"], "--steady off"),
        (&["--paint-every", "5"], "--paint-every"),
        (&["--paint-every", "2", "--steady", "off"], "--steady off"),
        (
            &["--paint-every", "2", "--engine", "optimize"],
            "--engine fast",
        ),
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
        let output = run(&["video", input, "-o", "out.mp4", "--json"], &folder);
        let error = json(&output)["error"].to_string();
        assert!(error.contains(input), "{error}");
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

#[test]
fn numbered_pictures_go_in_and_come_out() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["in", "out"] {
        fs::create_dir(at(name)).unwrap();
    }
    // Five pictures from 8 on, then a gap.
    for (number, light) in [(8, 0), (9, 30), (10, 60), (11, 90), (12, 120), (14, 0)] {
        let gradient = |x: u32, y: u32| image::Rgb([x as u8 * 2 + light, y as u8 * 3, 90]);
        image::RgbImage::from_fn(65, 48, gradient)
            .save(at(&format!("in/{number:03}.png")))
            .unwrap();
    }
    let args = [
        "video",
        "in/%03d.png",
        "-o",
        "out/p-%04d.png",
        "--quality",
        "swift",
        "--json",
    ];
    let output = run(&args, &folder);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary = json(&output);
    assert_eq!(summary["frames"], 5);
    assert!(
        summary["notes"]
            .to_string()
            .contains("number 13 is missing"),
        "{summary}"
    );
    let mut painted: Vec<String> = fs::read_dir(at("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    painted.sort_unstable();
    assert_eq!(
        painted,
        [8, 9, 10, 11, 12].map(|number| format!("p-{number:04}.png"))
    );
    // No side is cropped to an even number, and no chroma is lost.
    let picture = image::open(at("out/p-0010.png")).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (65, 48));

    // A picture that cannot be read leaves its number free.
    let second = fs::read(at("in/009.png")).unwrap();
    fs::write(at("in/009.png"), "junk").unwrap();
    let output = run(&[&args[..], &["--overwrite"]].concat(), &folder);
    assert_eq!(json(&output)["frames"], 4, "{}", stderr(&output));
    fs::remove_file(at("out/p-0009.png")).unwrap();
    let output = run(&[&args[..], &["--overwrite"]].concat(), &folder);
    assert!(output.status.success() && !at("out/p-0009.png").exists());
    assert!(at("out/p-0012.png").exists());
    fs::write(at("in/009.png"), "").unwrap();
    let output = run(&[&args[..], &["--overwrite"]].concat(), &folder);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("009.png"), "{}", stderr(&output));
    fs::write(at("in/009.png"), second).unwrap();

    let refused = |args: &[&str], status: i32, says: &str| {
        let output = run(args, &folder);
        assert_eq!(output.status.code(), Some(status), "{args:?}");
        assert!(
            stderr(&output).contains(says),
            "{args:?}: {}",
            stderr(&output)
        );
    };
    refused(&args, 1, "p-0008.png exists");
    for number in [998, 1000, 1001] {
        fs::copy(at("in/008.png"), at(&format!("in/{number}.png"))).unwrap();
    }
    let other = ["video", "in/%d.png", "-o", "in/%04d.png", "--overwrite"];
    refused(&other, 2, "1000.png, which is read");
    for number in [998, 1000, 1001] {
        fs::remove_file(at(&format!("in/{number}.png"))).unwrap();
    }
    // A part has the numbers of its pictures, and what was there before is told.
    let part = ["--start", "0.05", "--duration", "0.05", "--overwrite"];
    let output = run(&[&args[..], &part].concat(), &folder);
    let notes = json(&output)["notes"].to_string();
    assert!(
        output.status.success() && notes.contains("still there"),
        "{notes}"
    );
    refused(
        &["video", "in/%03d.png", "-o", "in/%03d.png", "--overwrite"],
        2,
        "which is read",
    );
    // Nor through links.
    #[cfg(unix)]
    {
        fs::create_dir(at("links")).unwrap();
        std::os::unix::fs::symlink(at("in/010.png"), at("links/010.png")).unwrap();
        let args = [
            "video",
            "in/%03d.png",
            "-o",
            "links/%03d.png",
            "--overwrite",
        ];
        refused(&args, 2, "010.png, which is read");
    }
    refused(
        &["video", "in/%03d.png", "-o", "no/%03d.png"],
        1,
        "does not exist",
    );
    refused(&["video", "in/%03d.png", "-o", "out/%03d.tif"], 2, ".mp4");
    refused(
        &["video", "in/%03d.jpg", "-o", "out.mkv"],
        1,
        "no such file",
    );
    refused(
        &["video", "in/%03d.png", "-o", "out/%03d.png", "--crf", "3"],
        2,
        "--crf",
    );
    // As a film, at the rate that was asked for; a film has a rate of its own.
    let film = [
        "video",
        "in/%03d.png",
        "-o",
        "out.mkv",
        "--fps",
        "10",
        "--quality",
        "swift",
        "--quiet",
    ];
    assert!(run(&film, &folder).status.success());
    let again = [
        "video",
        "out.mkv",
        "-o",
        "out/%d.jpg",
        "--quality",
        "swift",
        "--quiet",
    ];
    refused(
        &[&again[..], &["--fps", "10"]].concat(),
        2,
        "rate of its own",
    );
    assert!(
        run(&[&again[..], &["--start", "0.2"]].concat(), &folder)
            .status
            .success()
    );
    let left = fs::read_dir(at("out")).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "jpg")
    });
    assert_eq!(left.count(), 3);
}
