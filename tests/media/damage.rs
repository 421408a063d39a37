//! Files that are broken, cut off, or no videos at all.

use allaprima::source::{SourceError, VideoFileSource, VideoSourceSettings};

use crate::support::*;

const PICTURES: &str = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=4";
const SOUND: &str = "-f lavfi -i sine=duration=4";
const FAST: &str = "-c:v libx264 -preset ultrafast -g 25 -c:a aac";

#[track_caller]
fn refusal(path: &std::path::Path) -> SourceError {
    match VideoFileSource::open(path, VideoSourceSettings::default()) {
        Ok(_) => panic!("{} should not open", path.display()),
        Err(error) => {
            let text = error.to_string();
            let name = path.file_name().unwrap().to_string_lossy();
            assert!(
                text.contains(&*name),
                "the error must name the file: {text}"
            );
            error
        }
    }
}

#[test]
fn what_is_no_video_is_refused_each_for_its_own_reason() {
    let folder = Folder::new();
    let missing = folder.path("missing.mp4");
    assert!(matches!(refusal(&missing), SourceError::NotFound { .. }));

    let empty = folder.path("empty.mp4");
    std::fs::write(&empty, b"").unwrap();
    assert!(matches!(refusal(&empty), SourceError::Empty { .. }));

    let here = folder.path("folder.mp4");
    std::fs::create_dir(&here).unwrap();
    assert!(matches!(refusal(&here), SourceError::Directory { .. }));

    for name in ["text.mp4", "text.txt", "text"] {
        let text = folder.path(name);
        std::fs::write(&text, "This is a letter and no video.\n".repeat(500)).unwrap();
        let error = refusal(&text);
        assert!(matches!(error, SourceError::NotVideo { .. }), "{error}");
    }

    let noise = folder.path("noise.mp4");
    let bytes: Vec<u8> = (0..200_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    std::fs::write(&noise, bytes).unwrap();
    let error = refusal(&noise);
    assert!(
        matches!(
            error,
            SourceError::NotVideo { .. }
                | SourceError::NoVideoStream { .. }
                | SourceError::NothingDecoded { .. }
        ),
        "{error}"
    );

    let sound = folder.make("sound.m4a", &format!("{SOUND} -c:a aac"));
    let error = refusal(&sound);
    assert!(matches!(error, SourceError::NoVideoStream { .. }));
    assert!(error.to_string().contains("only sound"), "{error}");

    folder.make("cover.png", "-f lavfi -i color=red:size=64x64 -frames:v 1");
    let song = folder.make(
        "song.mp3",
        &format!("{SOUND} -i @cover.png -map 0 -map 1 -c:v copy -c:a libmp3lame"),
    );
    let error = refusal(&song);
    assert!(error.to_string().contains("cover picture"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.path("secret.mp4");
    std::fs::write(&path, b"something").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o0)).unwrap();
    if std::fs::File::open(&path).is_ok() {
        // The superuser may read everything.
        return;
    }
    assert!(matches!(refusal(&path), SourceError::Denied { .. }));
}

#[test]
fn an_mp4_without_its_index_is_called_incomplete() {
    let folder = Folder::new();
    let whole = folder.make("whole.mp4", &format!("{PICTURES} {SOUND} {FAST}"));
    let bytes = std::fs::read(&whole).unwrap();
    let cut = folder.path("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let error = refusal(&cut);
    assert!(matches!(error, SourceError::Incomplete { .. }), "{error}");
}

#[test]
fn a_file_that_is_cut_off_is_read_as_far_as_it_goes() {
    let folder = Folder::new();
    for (name, options) in [("mp4", "-movflags +faststart"), ("mkv", ""), ("avi", "")] {
        let whole = folder.make(
            &format!("whole.{name}"),
            &format!("{PICTURES} {SOUND} {FAST} {options}"),
        );
        let bytes = std::fs::read(&whole).unwrap();
        let cut = folder.path(&format!("cut.{name}"));
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        let read = read_all(&cut);
        assert!(
            (20..90).contains(&read.frames.len()),
            "{name}: {}",
            read.frames.len()
        );
        // The length of an AVI file is computed from what is there.
        let told = read.notes_say("header of the input promises 4.0 s");
        assert!(told || name == "avi", "{name}: {:?}", read.notes);
        let output = folder.path(&format!("out_{name}.mp4"));
        let passed = pass(&cut, &output);
        assert_eq!(times(&output, "v:0").len(), passed.frames);
    }
}

#[test]
fn a_header_that_lies_about_the_length_changes_nothing_but_the_estimate() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mkv",
        &format!("{PICTURES} -c:v libx264 -preset ultrafast"),
    );
    let mut bytes = std::fs::read(&input).unwrap();
    // The element Duration (0x4489) of Matroska, a 64-bit float of milliseconds.
    let place = bytes
        .windows(3)
        .position(|w| w == [0x44, 0x89, 0x88])
        .unwrap()
        + 3;
    bytes[place..place + 8].copy_from_slice(&100_000f64.to_be_bytes());
    std::fs::write(&input, &bytes).unwrap();
    let read = read_all(&input);
    assert_eq!(read.frames.len(), 100);
    assert!(read.info.expected_frames.unwrap() >= 100);
    bytes[place..place + 8].copy_from_slice(&1000f64.to_be_bytes());
    std::fs::write(&input, &bytes).unwrap();
    let read = read_all(&input);
    assert_eq!(read.frames.len(), 100);
}

#[test]
fn broken_packets_are_counted_and_skipped() {
    let folder = Folder::new();
    folder.make(
        "whole.mkv",
        &format!("{PICTURES} {SOUND} -c:v mpeg4 -q:v 3 -g 10 -c:a aac"),
    );
    let input = folder.make(
        "in.mkv",
        "-i @whole.mkv -c copy -bsf:v noise=amount=mod(n\\,7)*300",
    );
    let output = folder.path("out.mp4");
    let passed = pass(&input, &output);
    assert!(passed.frames > 60, "{}", passed.frames);
    let frames = times(&output, "v:0");
    assert_eq!(frames.len(), passed.frames);
    assert!(passed.notes_say("damaged"), "{:?}", passed.notes);
    assert!(frames.windows(2).all(|pair| pair[0] < pair[1]));

    // Every fourth PNG picture claims an absurd size: those cannot be decoded at all.
    let mut bytes =
        std::fs::read(folder.make("whole.avi", &format!("{PICTURES} -c:v png"))).unwrap();
    let mut number = 0;
    let mut at = 0;
    while &bytes[at..at + 4] != b"idx1" {
        if &bytes[at..at + 4] == b"00dc" {
            number += 1;
            if number % 4 == 0 {
                bytes[at + 24..at + 32].fill(0x5a);
            }
            at += 8;
        }
        at += 1;
    }
    let broken = folder.path("broken.avi");
    std::fs::write(&broken, bytes).unwrap();
    let read = read_all(&broken);
    assert!(read.notes_say("broken pictures"), "{:?}", read.notes);
    assert!(
        (70..100).contains(&read.frames.len()),
        "{}",
        read.frames.len()
    );
}

#[test]
fn repeated_time_stamps_are_repaired_by_the_least() {
    let folder = Folder::new();
    folder.make(
        "whole.mkv",
        "-f lavfi -i testsrc2=size=96x64:rate=25:duration=1 -c:v libx264 -bf 0 -preset ultrafast",
    );
    let input = folder.make(
        "in.mkv",
        "-i @whole.mkv -c copy -bsf:v setts=pts=PTS-40*eq(N\\,10):dts=PTS-40*eq(N\\,10)",
    );
    let wanted = times(&input, "v:0");
    assert!(
        wanted.windows(2).any(|pair| pair[0] == pair[1]),
        "the input must repeat a stamp: {wanted:?}"
    );
    let read = read_all(&input);
    assert_eq!(read.frames.len(), 25);
    assert!(read.notes_say("repeated or falling"), "{:?}", read.notes);
    assert_times(&read.seconds(), &wanted, 0.001_1);
}

#[test]
fn impossible_wishes_are_refused() {
    let folder = Folder::new();
    let input = folder.make("in.mp4", &format!("{PICTURES} {SOUND} {FAST}"));
    let open = |start, duration| {
        let settings = VideoSourceSettings {
            start,
            duration,
            ..VideoSourceSettings::default()
        };
        VideoFileSource::open(&input, settings).map(|_| ())
    };
    let error = open(Some(100.0), None).unwrap_err();
    assert!(
        matches!(error, SourceError::StartBehindEnd { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("--start"));
    for (start, duration) in [
        (Some(-1.0), None),
        (Some(f64::NAN), None),
        (None, Some(0.0)),
    ] {
        let error = open(start, duration).unwrap_err();
        assert!(matches!(error, SourceError::BadTime { .. }), "{error}");
    }
}

#[test]
fn a_single_picture_is_a_video_of_one_frame() {
    let folder = Folder::new();
    let input = folder.make("in.png", "-f lavfi -i testsrc2=size=96x64 -frames:v 1");
    let output = folder.path("out.mp4");
    assert_eq!(pass(&input, &output).frames, 1);
    assert_eq!(times(&output, "v:0").len(), 1);
}

#[test]
fn sound_with_a_damaged_header_is_left_out() {
    let folder = Folder::new();
    let input = folder.make(
        "in.webm",
        &format!("{PICTURES} {SOUND} -c:v libvpx -c:a libopus -b:v 200k"),
    );
    let mut bytes = std::fs::read(&input).unwrap();
    let at = bytes.windows(8).position(|w| w == b"OpusHead").unwrap();
    // The mapping of channels, of which there is no such family.
    bytes[at + 18] = 77;
    let damaged = folder.path("damaged.webm");
    std::fs::write(&damaged, &bytes).unwrap();
    for (input, tracks) in [(&input, 2), (&damaged, 1)] {
        let output = folder.path("out.webm");
        let _ = std::fs::remove_file(&output);
        let passed = pass(input, &output);
        assert_eq!(
            passed.notes_say("header is damaged"),
            tracks == 1,
            "{:?}",
            passed.notes
        );
        assert_eq!(probe(&output, "", "stream=index").len(), tracks);
    }
}
