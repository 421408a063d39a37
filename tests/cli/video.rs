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

#[test]
fn wrong_usage_is_status_2_and_names_the_option() {
    let folder = TempDir::new().unwrap();
    clip(&folder, "in.mp4", "64x48", "0.2");
    let cases: [(&[&str], &str); 23] = [
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
