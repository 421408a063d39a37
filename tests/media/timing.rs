//! Every frame, in order, with its own time.

use allaprima::source::VideoSourceSettings;

use crate::support::*;

const SOUND: &str = "-f lavfi -i sine=frequency=440:duration=2:sample_rate=44100";
const PICTURES: &str = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=2";

/// Half a tick of Matroska's clock of milliseconds.
const MILLI: f64 = 0.000_51;
/// As good as nothing.
const TINY: f64 = 0.000_002;

#[test]
fn count_times_and_sound_survive_in_every_container() {
    let folder = Folder::new();
    for (name, sound, tolerance) in [
        ("mp4", "aac", TINY),
        ("mov", "aac", TINY),
        ("mkv", "aac", MILLI),
        ("webm", "libopus", MILLI),
    ] {
        let input = folder.make(
            &format!("in_{name}.mp4"),
            &format!("{PICTURES} {SOUND} -c:v libx264 -preset ultrafast -bf 2 -c:a {sound}"),
        );
        let output = folder.path(&format!("out.{name}"));
        let passed = pass(&input, &output);
        assert_eq!(passed.frames, 50);
        assert!(passed.notes.is_empty(), "{:?}", passed.notes);
        let (found, wanted) = (times(&output, "v:0"), times(&input, "v:0"));
        // FFmpeg before 6.1 writes no delay for AAC into Matroska: there everything moves by its run-up of 23 ms.
        let moved = if name == "mkv" { found[0] } else { 0.0 };
        assert!(moved < 0.024);
        let found: Vec<f64> = found.iter().map(|time| time - moved).collect();
        assert_times(&found, &wanted, tolerance);
        assert_eq!(packet_hash(&output, "a:0"), packet_hash(&input, "a:0"));
        let offset = |path: &std::path::Path| times(path, "a:0")[0] - times(path, "v:0")[0];
        assert!((offset(&output) - offset(&input)).abs() < 0.0015, "{name}");
    }
}

#[test]
fn a_variable_frame_rate_stays_variable() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mkv",
        "-f lavfi -i testsrc2=size=96x64:rate=30:duration=2 -vf select='not(mod(n\\,3))+lt(mod(n\\,7)\\,2)' \
         -vsync vfr -c:v libx264 -preset ultrafast",
    );
    let wanted = times(&input, "v:0");
    let gaps: std::collections::BTreeSet<i64> = wanted
        .windows(2)
        .map(|pair| ((pair[1] - pair[0]) * 30.0).round() as i64)
        .collect();
    assert!(gaps.len() >= 3, "the input must be variable: {gaps:?}");
    for name in ["out.mp4", "out.mkv"] {
        let output = folder.path(name);
        pass(&input, &output);
        assert_times(&times(&output, "v:0"), &wanted, TINY);
    }
}

#[test]
fn the_last_frame_keeps_its_length() {
    let folder = Folder::new();
    folder.make(
        "even.mp4",
        "-f lavfi -i testsrc2=size=96x64:rate=5:duration=2 -c:v libx264 -preset ultrafast",
    );
    // In MP4 only the last length is not the distance to the next frame.
    folder.make(
        "long.mp4",
        "-i @even.mp4 -c copy -bsf:v setts=duration=1.5/TB",
    );
    for (name, seconds) in [("even.mp4", 2.0), ("long.mp4", 3.3)] {
        let input = folder.path(name);
        let length = |path| -> f64 { probe(path, "v:0", "stream=duration")[0].parse().unwrap() };
        assert!(
            (length(&input) - seconds).abs() < 0.001,
            "{}",
            length(&input)
        );
        let output = folder.path(&format!("out_{name}"));
        pass(&input, &output);
        assert!(
            (length(&output) - seconds).abs() < 0.001,
            "{}",
            length(&output)
        );
    }
}

#[test]
fn ntsc_rates_are_exact() {
    let folder = Folder::new();
    let input = folder.make(
        "in.avi",
        "-f lavfi -i testsrc2=size=96x64:rate=30000/1001:duration=1 -c:v mpeg4",
    );
    let output = folder.path("out.mp4");
    assert_eq!(pass(&input, &output).frames, 30);
    assert_times(&times(&output, "v:0"), &times(&input, "v:0"), TINY);
    assert_eq!(
        probe(&output, "v:0", "stream=avg_frame_rate"),
        ["30000/1001"]
    );
}

#[test]
fn sound_that_starts_later_still_starts_later() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mkv",
        &format!("{PICTURES} -itsoffset 0.7 {SOUND} -c:v libx264 -preset ultrafast -c:a aac -t 2"),
    );
    for name in ["out.mp4", "out.mkv"] {
        let output = folder.path(name);
        pass(&input, &output);
        let offset = times(&output, "a:0")[0] - times(&output, "v:0")[0];
        let wanted = times(&input, "a:0")[0] - times(&input, "v:0")[0];
        assert!(
            (offset - wanted).abs() < 0.0015,
            "{name}: {offset} {wanted}"
        );
        assert!(offset > 0.6);
        assert_times(&times(&output, "v:0"), &times(&input, "v:0"), MILLI);
    }
}

#[test]
fn pictures_that_start_later_still_start_later() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mp4",
        &format!(
            "{PICTURES} {SOUND} -vf setpts=PTS+0.5/TB -c:v libx264 -preset ultrafast -c:a aac"
        ),
    );
    assert!(times(&input, "v:0")[0] > 0.4, "the input must start later");
    let output = folder.path("out.mp4");
    pass(&input, &output);
    assert_times(&times(&output, "v:0"), &times(&input, "v:0"), TINY);
    assert_times(&times(&output, "a:0"), &times(&input, "a:0"), TINY);
}

#[test]
fn a_clip_that_an_edit_list_cuts_starts_at_the_cut() {
    let folder = Folder::new();
    folder.make(
        "whole.mp4",
        "-f lavfi -i testsrc2=size=96x64:rate=25:duration=4 -f lavfi -i sine=duration=4 \
         -c:v libx264 -preset ultrafast -g 100 -c:a aac",
    );
    // Copied from 1.3 s on: the packets before that are in the file, and the edit list hides them.
    let input = folder.path("in.mp4");
    let status = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-ss", "1.3", "-i"])
        .arg(folder.path("whole.mp4"))
        .args(["-c", "copy"])
        .arg(&input)
        .status()
        .unwrap();
    assert!(status.success());
    assert!(times(&input, "a:0")[0] < -0.5, "the input must hide sound");
    for name in ["out.mp4", "out.mkv"] {
        let output = folder.path(name);
        assert!((66..70).contains(&pass(&input, &output).frames));
        let first = times(&output, "v:0")[0];
        assert!((0.0..0.05).contains(&first), "{name}: {first}");
        if name == "out.mkv" {
            let sound = times(&output, "a:0")[0];
            assert!((first - sound).abs() < 0.05, "{sound}");
        } else {
            assert_eq!(packet_hash(&output, "a:0"), packet_hash(&input, "a:0"));
        }
    }
}

#[test]
fn a_late_start_is_not_taken_for_a_cut_off_end() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mkv",
        &format!("{PICTURES} -c:v libx264 -preset ultrafast -output_ts_offset 5"),
    );
    let read = read_all(&input);
    assert!(read.notes.is_empty(), "{:?}", read.notes);
    assert!((read.seconds()[0] - 5.0).abs() < 0.001);
}

#[test]
fn an_absolute_clock_is_brought_to_zero_for_all_tracks() {
    let folder = Folder::new();
    let input = folder.make(
        "in.ts",
        &format!("{PICTURES} {SOUND} -c:v libx264 -preset ultrafast -bf 2 -c:a aac"),
    );
    let video = times(&input, "v:0");
    let sound = times(&input, "a:0");
    let start = video[0].min(sound[0]);
    assert!(start > 1.3, "the input must start at 1.4 s: {start}");
    let output = folder.path("out.mp4");
    assert_eq!(pass(&input, &output).frames, 50);
    let moved: Vec<f64> = video.iter().map(|time| time - start).collect();
    assert_times(&times(&output, "v:0"), &moved, 0.000_02);
    let moved: Vec<f64> = sound.iter().map(|time| time - start).collect();
    assert_times(&times(&output, "a:0"), &moved, 0.000_05);
}

#[test]
fn recordings_glued_together_play_one_behind_the_other() {
    let folder = Folder::new();
    let one = folder.make(
        "one.ts",
        &format!("{PICTURES} {SOUND} -c:v libx264 -preset ultrafast -c:a aac"),
    );
    let glued = folder.path("glued.ts");
    let bytes = std::fs::read(one).unwrap();
    std::fs::write(&glued, [bytes.clone(), bytes].concat()).unwrap();
    let output = folder.path("out.mp4");
    let passed = pass(&glued, &output);
    assert_eq!(passed.frames, 100);
    assert!(
        passed.notes_say("clock of the input jumps"),
        "{:?}",
        passed.notes
    );
    let video = times(&output, "v:0");
    let sound = times(&output, "a:0");
    assert!(
        video.windows(2).all(|pair| pair[1] - pair[0] < 0.2),
        "{video:?}"
    );
    assert!((video[99] - 4.0).abs() < 0.2, "{}", video[99]);
    assert!((sound[sound.len() - 1] - 4.0).abs() < 0.2);
    assert!(sound.windows(2).all(|pair| pair[1] - pair[0] < 0.2));
}

#[test]
fn a_bare_stream_without_time_stamps_is_placed_by_its_rate() {
    let folder = Folder::new();
    let input = folder.make(
        "in.h264",
        "-f lavfi -i testsrc2=size=96x64:rate=25:duration=1 -c:v libx264 -preset medium -f h264",
    );
    let output = folder.path("out.mp4");
    assert_eq!(pass(&input, &output).frames, 25);
    let wanted: Vec<f64> = (0..25).map(|n| f64::from(n) / 25.0).collect();
    let found = times(&output, "v:0");
    let found: Vec<f64> = found.iter().map(|time| time - found[0]).collect();
    assert_times(&found, &wanted, 0.001);
}

#[test]
fn a_part_of_a_file_in_which_one_cannot_seek() {
    let folder = Folder::new();
    for name in ["in.h264", "in.gif", "in.ts", "in.mpg", "in.avi"] {
        let input = folder.make(name, "-f lavfi -i testsrc2=size=96x64:rate=25:duration=3");
        let whole = read_all(&input);
        let settings = VideoSourceSettings {
            start: Some(2.0),
            duration: Some(0.4),
            ..VideoSourceSettings::default()
        };
        let part = read(&input, settings).unwrap();
        assert_eq!(part.frames.len(), 10, "{name}");
        let seconds = whole.seconds();
        let first = seconds.iter().position(|time| *time > 1.9999).unwrap();
        assert!(
            part.frames[0].picture == whole.frames[first].picture,
            "{name}"
        );
        let moved: Vec<f64> = seconds[first..first + 10]
            .iter()
            .map(|time| time - 2.0)
            .collect();
        assert_times(&part.seconds(), &moved, 0.001);
    }
}

#[test]
fn a_part_shows_what_is_on_the_screen_from_its_start_to_its_end() {
    let folder = Folder::new();
    // A picture that stays from 0.96 s until the next one at 9 s.
    let input = folder.make(
        "still.mp4",
        "-f lavfi -i testsrc2=size=96x64:rate=25:duration=10 -f lavfi -i sine=duration=10 -vf select=lt(t\\,1)+gte(t\\,9) \
         -vsync vfr -c:v libx264 -preset ultrafast -bf 2 -c:a aac",
    );
    let whole = read_all(&input);
    let last = whole.seconds().iter().position(|&at| at > 0.95).unwrap();
    let part = |start, duration| {
        let settings = VideoSourceSettings {
            start: Some(start),
            duration: Some(duration),
            ..VideoSourceSettings::default()
        };
        let part = read(&input, settings).unwrap();
        let end = part
            .frames
            .last()
            .map(|frame| frame.pts + frame.duration)
            .unwrap();
        let end = end as f64 * part.info.time_base.value();
        assert!((end - duration).abs() < 0.001, "{start}: {end}");
        part
    };
    for (start, duration, seconds) in [
        (3.0, 4.0, &[0.0][..]),
        (8.5, 0.58, &[0.0, 0.5, 0.54]),
        (0.92, 4.0, &[0.0, 0.04]),
    ] {
        let part = part(start, duration);
        assert_times(&part.seconds(), seconds, 0.000_1);
        let shown = &part.frames[usize::from(start < 1.0)].picture;
        assert!(*shown == whole.frames[last].picture);
    }
    // The last picture is there until it ends, and nothing is behind that.
    let settings = |start| VideoSourceSettings {
        start: Some(start),
        ..VideoSourceSettings::default()
    };
    assert_eq!(read(&input, settings(9.97)).unwrap().frames.len(), 1);
    assert!(read(&input, settings(10.1)).is_err());
}

#[test]
fn a_part_is_cut_at_the_same_place_in_pictures_and_sound() {
    let folder = Folder::new();
    // Key frames two seconds apart: the cut lies far from one.
    let input = folder.make(
        "in.mp4",
        "-f lavfi -i testsrc2=size=96x64:rate=25:duration=6 -f lavfi -i sine=duration=6:sample_rate=48000 \
         -c:v libx264 -preset ultrafast -bf 2 -g 50 -c:a aac",
    );
    let whole = read_all(&input);
    for (start, duration, frames) in [
        (Some(3.0), Some(1.0), 25),
        (Some(5.5), None, 12),
        (None, Some(0.5), 13),
        (Some(0.99), Some(0.02), 1),
    ] {
        let settings = VideoSourceSettings {
            start,
            duration,
            ..VideoSourceSettings::default()
        };
        let part = read(&input, settings.clone()).unwrap();
        assert_eq!(part.frames.len(), frames, "{start:?} {duration:?}");
        assert_eq!(
            part.info.expected_frames.unwrap().abs_diff(frames as u64) / 2,
            0
        );
        let first = (start.unwrap_or(0.0) * 25.0).ceil() as usize;
        assert!(
            part.frames[0].picture == whole.frames[first].picture,
            "the part starts with another picture"
        );
        let moved: Vec<f64> = whole.seconds()[first..first + frames]
            .iter()
            .map(|time| time - start.unwrap_or(0.0))
            .collect();
        assert_times(&part.seconds(), &moved, 0.000_1);
        let output = folder.path("out.mp4");
        let writing = allaprima::sink::VideoSinkSettings {
            overwrite: true,
            ..quick()
        };
        pass_with(&input, &output, settings, writing).unwrap();
        if frames > 1 {
            let sound = times(&output, "a:0");
            let end = duration.unwrap_or(0.5);
            assert!((-0.022..0.022).contains(&sound[0]), "{sound:?}");
            assert!((end - sound[sound.len() - 1]).abs() < 0.03, "{sound:?}");
        }
    }
}
