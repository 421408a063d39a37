//! The output file: complete or not there, in the right container and codec.

use std::path::Path;

use allaprima::{
    frame::{Frame, Packet, Picture},
    media::SourceDescription,
    sink::{Codec, FrameSink, SinkError, VideoFileSink, VideoSinkSettings},
    source::{FrameSource, Ratio, StreamInfo, VideoFileSource, VideoSourceSettings},
};

use crate::support::*;

fn info(width: usize, height: usize) -> StreamInfo {
    StreamInfo {
        width,
        height,
        time_base: Ratio { num: 1, den: 25 },
        frame_rate: Some(Ratio { num: 25, den: 1 }),
        expected_frames: None,
    }
}

fn frame(number: i64, width: usize, height: usize) -> Frame {
    let mut picture = Picture::black(width, height);
    for (at, value) in picture.rgb_mut().iter_mut().enumerate() {
        *value = (at as i64 * 7 + number * 31) as u8;
    }
    Frame {
        picture,
        pts: number,
        duration: 1,
        source_index: number as u64,
        seq: number as u64,
    }
}

fn create(path: &Path, settings: VideoSinkSettings) -> Result<VideoFileSink, SinkError> {
    VideoFileSink::create(path, &info(64, 48), &SourceDescription::default(), settings)
}

#[track_caller]
fn refusal(result: Result<VideoFileSink, SinkError>) -> SinkError {
    match result {
        Ok(_) => panic!("should be refused"),
        Err(error) => error,
    }
}

#[test]
fn the_output_appears_only_when_it_is_complete() {
    let folder = Folder::new();
    let output = folder.path("out.mp4");
    let mut sink = create(&output, quick()).unwrap();
    for number in 0..30 {
        sink.frame(frame(number, 64, 48)).unwrap();
        assert!(!output.exists());
    }
    let temporary = sink.temporary_path().unwrap().to_owned();
    assert_eq!(temporary.parent(), output.parent());
    assert!(temporary.exists());
    assert_ne!(temporary.extension().unwrap(), "mp4");
    sink.finish().unwrap();
    assert!(sink.temporary_path().is_none());
    assert_eq!(folder.names(), ["out.mp4"]);
    assert_eq!(times(&output, "v:0").len(), 30);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&output).unwrap().permissions().mode();
        assert_eq!(mode & 0o600, 0o600);
        let ordinary = folder.path("ordinary");
        std::fs::write(&ordinary, b"").unwrap();
        let wanted = std::fs::metadata(&ordinary).unwrap().permissions().mode();
        assert_eq!(mode, wanted, "as any new file");
    }
}

#[test]
fn a_dropped_sink_leaves_nothing_behind() {
    let folder = Folder::new();
    let output = folder.path("out.mkv");
    let mut sink = create(&output, quick()).unwrap();
    sink.frame(frame(0, 64, 48)).unwrap();
    drop(sink);
    assert!(folder.names().is_empty(), "{:?}", folder.names());
}

#[test]
fn an_existing_file_is_replaced_only_when_asked() {
    let folder = Folder::new();
    let output = folder.path("out.mp4");
    std::fs::write(&output, "precious").unwrap();
    let error = refusal(create(&output, quick()));
    assert!(matches!(error, SinkError::Exists { .. }));
    assert!(error.to_string().contains("--overwrite"));
    assert_eq!(folder.names(), ["out.mp4"]);
    let overwrite = VideoSinkSettings {
        overwrite: true,
        ..quick()
    };
    let mut sink = create(&output, overwrite).unwrap();
    sink.frame(frame(0, 64, 48)).unwrap();
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
    sink.finish().unwrap();
    assert_eq!(times(&output, "v:0").len(), 1);
}

#[test]
fn a_file_that_appears_meanwhile_is_not_replaced() {
    let folder = Folder::new();
    let output = folder.path("out.mp4");
    let mut sink = create(&output, quick()).unwrap();
    sink.frame(frame(0, 64, 48)).unwrap();
    std::fs::write(&output, "precious").unwrap();
    let error = sink.finish().unwrap_err();
    assert!(matches!(error, SinkError::NameTaken { .. }), "{error}");
    assert_eq!(std::fs::read(&output).unwrap(), b"precious");
}

#[test]
fn places_that_cannot_be_written_are_refused_before_any_work() {
    let folder = Folder::new();
    let error = refusal(create(&folder.path("no/such/out.mp4"), quick()));
    assert!(matches!(error, SinkError::NoFolder { .. }), "{error}");
    let here = folder.path("here.mp4");
    std::fs::create_dir(&here).unwrap();
    let error = refusal(create(&here, quick()));
    assert!(matches!(error, SinkError::Directory { .. }), "{error}");
    for name in ["out", "out.gif", "out.txt"] {
        let error = refusal(create(&folder.path(name), quick()));
        assert!(
            matches!(error, SinkError::UnknownContainer { .. }),
            "{error}"
        );
        assert!(error.to_string().contains(".webm"));
    }
    assert_eq!(folder.names(), ["here.mp4"]);
}

#[test]
fn the_input_is_not_written_over() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mp4",
        "-f lavfi -i testsrc2=size=64x48:rate=5:duration=1",
    );
    let source = VideoFileSource::open(&input, VideoSourceSettings::default()).unwrap();
    let overwrite = VideoSinkSettings {
        overwrite: true,
        ..quick()
    };
    let mut names = vec![input.clone(), folder.path("./in.mp4")];
    #[cfg(unix)]
    {
        let link = folder.path("link.mp4");
        std::os::unix::fs::symlink(&input, &link).unwrap();
        names.push(link);
    }
    for name in names {
        let error = refusal(VideoFileSink::create(
            &name,
            source.info(),
            source.description(),
            overwrite.clone(),
        ));
        assert!(matches!(error, SinkError::SameAsInput { .. }), "{error}");
    }
}

#[test]
fn codecs_and_containers() {
    let folder = Folder::new();
    let with = |codec| VideoSinkSettings {
        codec: Some(codec),
        ..quick()
    };
    for (name, codec, found) in [
        ("default.mp4", None, "h264"),
        ("default.mkv", None, "h264"),
        ("default.mov", None, "h264"),
        ("default.webm", None, "vp9"),
        ("hevc.mp4", Some(Codec::Hevc), "hevc"),
        ("hevc.mov", Some(Codec::Hevc), "hevc"),
        ("vp9.mkv", Some(Codec::Vp9), "vp9"),
        ("vp9.mp4", Some(Codec::Vp9), "vp9"),
        ("av1.webm", Some(Codec::Av1), "av1"),
        ("av1.mp4", Some(Codec::Av1), "av1"),
    ] {
        let output = folder.path(name);
        let settings = codec.map_or_else(quick, with);
        let mut sink = create(&output, settings).unwrap();
        for number in 0..12 {
            sink.frame(frame(number, 64, 48)).unwrap();
        }
        sink.finish().unwrap();
        assert_eq!(
            probe(&output, "v:0", "stream=codec_name"),
            [found],
            "{name}"
        );
        let wanted: Vec<f64> = (0..12).map(|n| f64::from(n) / 25.0).collect();
        assert_times(&times(&output, "v:0"), &wanted, 0.0006);
        assert_eq!(read_all(&output).frames.len(), 12, "{name}");
    }
    assert_eq!(
        probe(&folder.path("hevc.mp4"), "v:0", "stream=codec_tag_string"),
        ["hvc1"]
    );
    for (name, codec) in [
        ("out.webm", Codec::H264),
        ("out.mp4", Codec::Ffv1),
        ("out.mov", Codec::Vp9),
    ] {
        let error = refusal(create(&folder.path(name), with(codec)));
        assert!(
            matches!(error, SinkError::CodecNotInContainer { .. }),
            "{error}"
        );
    }
}

#[test]
fn quality_and_preset_are_checked() {
    let folder = Folder::new();
    let output = folder.path("out.mp4");
    let settings = |crf, preset: Option<&str>, codec| VideoSinkSettings {
        crf,
        preset: preset.map(str::to_owned),
        codec: Some(codec),
        ..quick()
    };
    let error = refusal(create(&output, settings(Some(52), None, Codec::H264)));
    assert_eq!(
        error.to_string(),
        "--crf 52 is out of bounds: h264 takes 0 (best) to 51 (smallest)"
    );
    let error = refusal(create(&output, settings(None, Some("quick"), Codec::H264)));
    assert!(error.to_string().contains("veryfast"), "{error}");
    let error = refusal(create(
        &output,
        settings(None, Some("veryfast"), Codec::Vp9),
    ));
    assert!(error.to_string().contains("number"), "{error}");
    let error = refusal(create(
        &folder.path("out.mkv"),
        settings(Some(3), None, Codec::Ffv1),
    ));
    assert!(matches!(error, SinkError::NotForCodec { .. }), "{error}");
    assert!(folder.names().is_empty(), "{:?}", folder.names());

    let size = |crf| {
        let output = folder.path(&format!("{crf}.mp4"));
        let mut sink =
            create(&output, settings(Some(crf), Some("ultrafast"), Codec::H264)).unwrap();
        (0..10).for_each(|number| sink.frame(frame(number, 64, 48)).unwrap());
        sink.finish().unwrap();
        std::fs::metadata(output).unwrap().len()
    };
    assert!(size(10) > 2 * size(40));
}

#[test]
fn lossless_gives_back_every_bit() {
    let folder = Folder::new();
    let output = folder.path("out.mkv");
    let lossless = VideoSinkSettings {
        lossless: true,
        ..quick()
    };
    let (width, height) = (67, 45);
    let mut sink = VideoFileSink::create(
        &output,
        &info(width, height),
        &SourceDescription::default(),
        lossless.clone(),
    )
    .unwrap();
    for number in 0..6 {
        sink.frame(frame(number, width, height)).unwrap();
    }
    sink.finish().unwrap();
    let mut source = VideoFileSource::open(&output, VideoSourceSettings::default()).unwrap();
    for number in 0..6 {
        match source.next().unwrap() {
            Packet::Frame(found) => {
                assert!(
                    found.picture == frame(number, width, height).picture,
                    "frame {number}"
                );
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(source.next().unwrap(), Packet::End));
    assert_eq!(
        probe(&output, "v:0", "stream=codec_name,pix_fmt"),
        ["ffv1,bgr0"]
    );
    let error = refusal(create(&folder.path("out.mp4"), lossless));
    assert!(
        matches!(error, SinkError::LosslessNeedsMkv { .. }),
        "{error}"
    );
}

#[test]
fn an_mp4_has_its_index_in_front() {
    let folder = Folder::new();
    let output = folder.path("out.mp4");
    let mut sink = create(&output, quick()).unwrap();
    (0..10).for_each(|number| sink.frame(frame(number, 64, 48)).unwrap());
    sink.finish().unwrap();
    let bytes = std::fs::read(&output).unwrap();
    let place = |name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap();
    assert!(place(b"moov") < place(b"mdat"));
}

#[test]
fn frames_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let mut sink = create(&folder.path("out.mp4"), quick()).unwrap();
    sink.frame(frame(5, 64, 48)).unwrap();
    let error = sink.frame(frame(5, 64, 48)).unwrap_err();
    assert!(matches!(error, SinkError::BadFrame { .. }), "{error}");
    let error = sink.frame(frame(6, 32, 48)).unwrap_err();
    assert!(matches!(error, SinkError::BadFrame { .. }), "{error}");
}

#[test]
fn an_output_without_a_frame_is_still_a_file() {
    let folder = Folder::new();
    let output = folder.path("out.mp4");
    let mut sink = create(&output, quick()).unwrap();
    sink.finish().unwrap();
    assert_eq!(folder.names(), ["out.mp4"]);
}
