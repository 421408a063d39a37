//! Sound, subtitles, chapters and tags come along.

use allaprima::source::VideoSourceSettings;

use crate::support::*;

const PICTURES: &str = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=2";
const FAST: &str = "-c:v libx264 -preset ultrafast";

fn sine(frequency: u32) -> String {
    format!("-f lavfi -i sine=frequency={frequency}:duration=2:sample_rate=48000")
}

/// The loudness of a tone in a stream of sound: decoded by ffmpeg to 8 kHz, measured with the Goertzel algorithm.
fn tone(path: &std::path::Path, stream: usize, frequency: f64) -> f64 {
    let result = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args([
            "-map",
            &format!("0:a:{stream}"),
            "-ac",
            "1",
            "-ar",
            "8000",
            "-f",
            "f32le",
            "-",
        ])
        .output()
        .unwrap();
    let samples: Vec<f64> = result
        .stdout
        .chunks_exact(4)
        .map(|bytes| f64::from(f32::from_le_bytes(bytes.try_into().unwrap())))
        .collect();
    assert!(samples.len() > 8000, "only {} samples", samples.len());
    let (mut re, mut im) = (0.0, 0.0);
    for (number, sample) in samples.iter().enumerate() {
        let angle = std::f64::consts::TAU * frequency * number as f64 / 8000.0;
        re += sample * angle.cos();
        im += sample * angle.sin();
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

#[test]
fn three_tracks_of_sound_keep_order_language_title_and_default() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mkv",
        &format!(
            "{PICTURES} {} {} {} -map 0 -map 1 -map 2 -map 3 {FAST} -c:a aac \
             -metadata:s:a:0 language=eng -metadata:s:a:0 title=Original -metadata:s:a:1 language=deu -metadata:s:a:1 title=Kommentar \
             -metadata:s:a:2 language=fra -disposition:a:0 0 -disposition:a:1 default -disposition:a:2 comment",
            sine(440),
            sine(880),
            sine(1320)
        ),
    );
    for name in ["out.mp4", "out.mkv", "out.mov"] {
        let output = folder.path(name);
        let passed = pass(&input, &output);
        assert!(passed.notes.is_empty(), "{name}: {:?}", passed.notes);
        assert_eq!(
            probe(&output, "a", "stream_tags=language"),
            ["eng", if name == "out.mov" { "ger" } else { "deu" }, "fra"],
            "{name}"
        );
        let title = if name == "out.mkv" {
            "title"
        } else {
            "handler_name"
        };
        let titles = probe(&output, "a", &format!("stream_tags={title}"));
        let titles: Vec<_> = titles
            .iter()
            .filter(|title| *title != "SoundHandler")
            .collect();
        assert_eq!(titles, ["Original", "Kommentar"], "{name}");
        assert_eq!(
            probe(&output, "a", "stream_disposition=default"),
            ["0", "1", "0"],
            "{name}"
        );
        for stream in ["a:0", "a:1", "a:2"] {
            assert_eq!(packet_hash(&output, stream), packet_hash(&input, stream));
        }
    }
}

#[test]
fn pcm_becomes_aac_in_mp4_and_stays_in_mkv_and_mov() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mov",
        &format!("{PICTURES} {} {FAST} -c:a pcm_s16le", sine(440)),
    );
    let output = folder.path("out.mp4");
    let passed = pass(&input, &output);
    assert!(
        passed.notes_say("from pcm_s16le to aac"),
        "{:?}",
        passed.notes
    );
    assert_eq!(
        probe(&output, "a", "stream=codec_name,sample_rate"),
        ["aac,48000"]
    );
    assert!(
        (tone(&output, 0, 440.0) - 0.125).abs() < 0.01,
        "{}",
        tone(&output, 0, 440.0)
    );
    let length: f64 = probe(&output, "a", "stream=duration")[0].parse().unwrap();
    assert!((length - 2.0).abs() < 0.03, "{length}");
    assert_times(&times(&output, "v:0"), &times(&input, "v:0"), 0.000_01);
    for name in ["out.mkv", "out.mov"] {
        let output = folder.path(name);
        let passed = pass(&input, &output);
        assert!(passed.notes.is_empty(), "{name}: {:?}", passed.notes);
        assert_eq!(packet_hash(&output, "a:0"), packet_hash(&input, "a:0"));
    }
}

#[test]
fn sound_becomes_opus_in_webm_in_stereo_and_more() {
    let folder = Folder::new();
    for (name, layout, codec) in [
        ("mono", "mono", "aac"),
        ("stereo", "stereo", "aac"),
        ("surround", "5.1", "aac"),
        // As DVDs have it.
        ("beside", "5.1(side)", "ac3"),
        ("quad", "quad(side)", "flac"),
    ] {
        let input = folder.make(
            &format!("{name}.mkv"),
            &format!("{PICTURES} {} {FAST} -af aformat=channel_layouts={layout} -c:a {codec} -metadata:s:a language=jpn", sine(440)),
        );
        let output = folder.path(&format!("{name}.webm"));
        let passed = pass(&input, &output);
        let said = format!("from {codec} to opus");
        assert!(passed.notes_say(&said), "{:?}", passed.notes);
        assert_eq!(probe(&output, "a", "stream=codec_name"), ["opus"]);
        assert_eq!(probe(&output, "a", "stream_tags=language"), ["jpn"]);
        assert_eq!(
            probe(&output, "a", "stream=channels"),
            probe(&input, "a", "stream=channels")
        );
        assert!(tone(&output, 0, 440.0) > 0.02);
        let last = *times(&output, "a:0").last().unwrap();
        assert!((last - 2.0).abs() < 0.05, "{last}");
    }
}

#[test]
fn transcoded_sound_that_starts_later_still_starts_later() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mkv",
        &format!(
            "{PICTURES} -itsoffset 0.7 {} {FAST} -c:a pcm_s16le -t 2",
            sine(440)
        ),
    );
    let output = folder.path("out.mp4");
    pass(&input, &output);
    let offset = times(&output, "a:0")[0] - times(&output, "v:0")[0];
    // The encoder's run-up lies before the first sound.
    assert!((0.67..0.71).contains(&offset), "{offset}");
}

#[test]
fn adts_sound_of_a_transport_stream_is_copied_into_mp4() {
    let folder = Folder::new();
    let input = folder.make(
        "in.ts",
        &format!("{PICTURES} {} {FAST} -c:a aac", sine(440)),
    );
    let output = folder.path("out.mp4");
    let passed = pass(&input, &output);
    assert!(passed.notes.is_empty(), "{:?}", passed.notes);
    assert_eq!(probe(&output, "a", "stream=codec_name"), ["aac"]);
    assert!(tone(&output, 0, 440.0) > 0.1);
}

/// A transport stream says what its sound is where the sound begins, here behind the five seconds that FFmpeg looks at.
#[test]
fn sound_of_a_transport_stream_that_begins_late_is_found() {
    let folder = Folder::new();
    let input = folder.make(
        "in.ts",
        &format!(
            "-f lavfi -i color=size=64x48:rate=25:duration=11 -itsoffset 8 {} -t 10 {FAST} -c:a aac",
            sine(440)
        ),
    );
    let output = folder.path("out.mp4");
    let passed = pass(&input, &output);
    assert!(passed.notes.is_empty(), "{:?}", passed.notes);
    assert_eq!(probe(&output, "a", "stream=codec_name"), ["aac"]);
    let offset = times(&output, "a:0")[0] - times(&output, "v:0")[0];
    assert!((7.9..8.1).contains(&offset), "{offset}");
}

#[test]
fn a_video_without_sound_and_one_whose_sound_is_not_wanted() {
    let folder = Folder::new();
    let silent = folder.make("silent.mp4", &format!("{PICTURES} {FAST}"));
    let output = folder.path("out.mp4");
    assert_eq!(pass(&silent, &output).frames, 50);
    assert_eq!(probe(&output, "", "stream=codec_type"), ["video"]);
    let loud = folder.make("loud.mp4", &format!("{PICTURES} {} {FAST}", sine(440)));
    let output = folder.path("out2.mp4");
    let settings = VideoSourceSettings {
        keep_tracks: false,
        ..VideoSourceSettings::default()
    };
    pass_with(&loud, &output, settings, quick()).unwrap();
    assert_eq!(probe(&output, "", "stream=codec_type"), ["video"]);
}

const SUBTITLES: &str = "1\n00:00:00,200 --> 00:00:00,900\nWet on wet\n\n2\n00:00:01,200 --> 00:00:01,800\nIn one sitting\n";

#[test]
fn subtitles_are_copied_or_converted() {
    let folder = Folder::new();
    std::fs::write(folder.path("words.srt"), SUBTITLES).unwrap();
    let input = folder.make(
        "in.mkv",
        &format!(
            "{PICTURES} -i @words.srt -map 0 -map 1 {FAST} -c:s subrip -metadata:s:s language=eng"
        ),
    );
    for (name, codec) in [
        ("out.mkv", "subrip"),
        ("out.mp4", "mov_text"),
        ("out.webm", "webvtt"),
    ] {
        let output = folder.path(name);
        pass(&input, &output);
        assert_eq!(probe(&output, "s", "stream=codec_name"), [codec]);
        assert_eq!(probe(&output, "s", "stream_tags=language"), ["eng"]);
        let back = folder.make("back.srt", &format!("-i @{name} -map 0:s"));
        let back = std::fs::read_to_string(back).unwrap().replace("\r\n", "\n");
        assert_eq!(back.trim(), SUBTITLES.trim(), "{name}");
    }
}

#[test]
fn words_on_the_screen_where_a_part_begins_are_kept() {
    let folder = Folder::new();
    std::fs::write(folder.path("words.srt"), SUBTITLES).unwrap();
    let input = folder.make(
        "in.mkv",
        &format!("{PICTURES} -i @words.srt -map 0 -map 1 {FAST} -c:s subrip"),
    );
    let part = VideoSourceSettings {
        start: Some(0.5),
        duration: Some(1.0),
        ..VideoSourceSettings::default()
    };
    pass_with(&input, &folder.path("out.mkv"), part, quick()).unwrap();
    let back = folder.make("back.srt", "-i @out.mkv -map 0:s");
    let back = std::fs::read_to_string(back).unwrap();
    assert!(back.contains("00:00:00,000 --> 00:00:00,400"), "{back}");
    // And those beyond its end.
    assert!(back.contains("00:00:00,700 --> 00:00:01,000"), "{back}");
}

#[test]
fn words_that_have_been_on_the_screen_for_long_are_kept() {
    let folder = Folder::new();
    std::fs::write(
        folder.path("words.srt"),
        "1\n00:00:00,500 --> 00:00:07,000\nstill there\n",
    )
    .unwrap();
    // A key frame every half second.
    let input = folder.make(
        "in.mkv",
        "-f lavfi -i testsrc2=size=96x64:rate=10:duration=9 -i @words.srt -map 0 -map 1 -c:v libx264 -g 5 -c:s subrip",
    );
    let part = VideoSourceSettings {
        start: Some(5.0),
        ..VideoSourceSettings::default()
    };
    let passed = pass_with(&input, &folder.path("out.mkv"), part, quick()).unwrap();
    assert_eq!(passed.frames, 40);
    let back = folder.make("back.srt", "-i @out.mkv -map 0:s");
    let back = std::fs::read_to_string(back).unwrap();
    assert!(back.contains("00:00:00,000 --> 00:00:02,000"), "{back}");
}

#[test]
fn streams_that_are_left_out_are_told_and_no_others() {
    let folder = Folder::new();
    std::fs::write(
        folder.path("tags.txt"),
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=First\n",
    )
    .unwrap();
    let chapters = folder.make(
        "chapters.mp4",
        &format!("{PICTURES} -i @tags.txt -map 0 -map_metadata 1 {FAST}"),
    );
    let code = folder.make(
        "code.mov",
        &format!("{PICTURES} {FAST} -timecode 01:00:00:00"),
    );
    for input in [chapters, code] {
        let notes = pass(&input, &folder.path("out.mov")).notes;
        assert!(notes.is_empty(), "{notes:?}");
        std::fs::remove_file(folder.path("out.mov")).unwrap();
    }
    folder.make("cover.png", "-f lavfi -i color=red:s=64x64 -frames:v 1");
    let cover = folder.make(
        "cover.mp4",
        &format!(
            "{PICTURES} -i @cover.png -map 0 -map 1 {FAST} -c:v:1 png -disposition:v:1 attached_pic"
        ),
    );
    assert!(pass(&cover, &folder.path("out.mp4")).notes_say("cover picture"));
}

#[test]
fn chapters_and_tags_are_kept() {
    let folder = Folder::new();
    std::fs::write(
        folder.path("tags.txt"),
        ";FFMETADATA1\ntitle=A street\nartist=Somebody\ncomment=Grün\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=First\n\
         [CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=2000\ntitle=Second\n",
    )
    .unwrap();
    let input = folder.make(
        "in.mkv",
        &format!("{PICTURES} -i @tags.txt -map 0 -map_metadata 1 {FAST}"),
    );
    for name in ["out.mkv", "out.mp4"] {
        let output = folder.path(name);
        pass(&input, &output);
        assert_eq!(
            probe(&output, "", "format_tags=title,artist"),
            ["A street,Somebody"]
        );
        assert_eq!(probe(&output, "", "format_tags=comment"), ["Grün"]);
        assert_eq!(
            probe(
                &output,
                "",
                "chapter=start_time,end_time:chapter_tags=title"
            ),
            ["0.000000,1.000000,First", "1.000000,2.000000,Second"],
            "{name}"
        );
    }
    let part = VideoSourceSettings {
        start: Some(0.5),
        duration: Some(1.0),
        ..VideoSourceSettings::default()
    };
    let output = folder.path("part.mkv");
    pass_with(&input, &output, part, quick()).unwrap();
    assert_eq!(
        probe(&output, "", "chapter=start_time,end_time"),
        ["0.000000,0.500000", "0.500000,1.000000"]
    );
}

#[test]
fn a_cover_picture_is_not_the_video() {
    let folder = Folder::new();
    folder.make(
        "cover.png",
        "-f lavfi -i color=red:size=640x640 -frames:v 1",
    );
    let input = folder.make(
        "in.mp4",
        &format!("-i @cover.png {PICTURES} {} -map 0 -map 1 -map 2 -c:v:0 copy -c:v:1 libx264 -disposition:v:0 attached_pic", sine(440)),
    );
    let read = read_all(&input);
    assert_eq!((read.info.width, read.info.height), (96, 64));
    assert_eq!(read.frames.len(), 50);
}

#[test]
fn a_track_without_any_packet_does_not_hold_the_others_up() {
    let folder = Folder::new();
    std::fs::write(
        folder.path("words.srt"),
        "1\n00:00:20,000 --> 00:00:21,000\nFar too late\n",
    )
    .unwrap();
    let input = folder.make(
        "in.mkv",
        &format!("{PICTURES} -i @words.srt -map 0 -map 1 {FAST} -c:s subrip"),
    );
    let output = folder.path("out.mkv");
    assert_eq!(pass(&input, &output).frames, 50);
    assert_eq!(times(&output, "v:0").len(), 50);
}
