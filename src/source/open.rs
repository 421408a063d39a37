//! Opening a video file, and saying precisely why it cannot be opened.

use std::{
    ffi::{CString, NulError},
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use ffmpeg_next::{
    self as ff, Error, Rational, Rescale, codec, decoder, ffi, format::context, media,
};

use super::{PICTURE_RATE, SourceError, VideoSourceSettings};
use crate::{
    media::{Chapter, SourceDescription, Track, TrackKind, edge, prepare, sound::sample_rate},
    numbered::Numbered,
};

/// How far a film is read to find out what its sound is, where that is not known soon: microseconds and bytes.
const LONG_LOOK: [i64; 2] = [120_000_000, 200 << 20];

/// What opening yields.
pub(super) struct Opened {
    pub(super) input: context::Input,
    pub(super) decoder: decoder::Video,
    /// Number of the video stream in the file.
    pub(super) video: usize,
    pub(super) time_base: Rational,
    pub(super) frame_rate: Option<Rational>,
    pub(super) expected_frames: Option<u64>,
    pub(super) description: SourceDescription,
    pub(super) track_of: Vec<Option<usize>>,
    /// Where the clock's zero is put, in ticks of the video.
    pub(super) zero: i64,
    /// Where the header says that the video ends, in seconds on the file's clock, unless it was only guessed.
    pub(super) promised_end: Option<f64>,
    /// One of the numbered pictures is missing: the rest cannot be read.
    pub(super) gap: bool,
    pub(super) notes: Vec<String>,
}

/// Checks `--start` and `--duration`.
pub(super) fn check_times(start: Option<f64>, duration: Option<f64>) -> Result<(), SourceError> {
    if let Some(value) = start.filter(|s| !(s.is_finite() && *s >= 0.0)) {
        return Err(SourceError::BadTime {
            option: "--start",
            value,
            wanted: "0 or more seconds",
        });
    }
    if let Some(value) = duration.filter(|d| !(d.is_finite() && *d > 0.0)) {
        return Err(SourceError::BadTime {
            option: "--duration",
            value,
            wanted: "more than 0 seconds",
        });
    }
    Ok(())
}

/// Whether what lies at `path` can only be read once, as a pipe can: opened again it would go on in the middle.
pub(super) fn is_read_once(path: &Path) -> bool {
    path.metadata().is_ok_and(|about| !about.is_file())
}

/// Opens `path`, chooses its video stream and prepares the decoder.
pub(super) fn open(path: &Path, settings: &VideoSourceSettings) -> Result<Opened, SourceError> {
    prepare();
    let is_address = path.to_string_lossy().contains("://");
    let pictures = (!path.exists()).then(|| Numbered::parse(path)).flatten();
    let numbers = match &pictures {
        Some(names) => names.existing().unwrap_or_default(),
        None => Vec::new(),
    };
    let address = match &pictures {
        Some(names) if !numbers.is_empty() => names.pattern(),
        _ => path.to_owned(),
    };
    let too_large = |number: &&u64| i32::try_from(**number).is_err();
    if let Some(number) = numbers.iter().find(too_large) {
        return Err(SourceError::NotVideo {
            path: path.to_owned(),
            detail: format!(
                "numbers of pictures go up to {}, and there is {number}",
                i32::MAX
            ),
        });
    }
    if let Some(names) = &pictures {
        // FFmpeg would take it for the end of the film.
        let run = numbers.windows(2).take_while(|two| two[0] + 1 == two[1]);
        let read = numbers.first().into_iter().chain(run.map(|two| &two[1]));
        let is_empty = |path: &PathBuf| path.metadata().is_ok_and(|about| about.len() == 0);
        if let Some(path) = read.map(|&number| names.path(number)).find(is_empty) {
            return Err(SourceError::Empty { path });
        }
    }
    let pictures = numbers
        .first()
        .map(|&first| (first, settings.picture_rate.unwrap_or(PICTURE_RATE)));
    if pictures.is_none() && (!is_address || path.exists()) {
        check_file(path)?;
    }
    let mut input = edge::url_of(&address)
        .and_then(|url| {
            let options = picture_options(pictures)?;
            if is_read_once(path) {
                return edge::open_input(&url, &long_look()?);
            }
            let input = edge::open_input(&url, &options)?;
            if !has_unknown_sound(&input) {
                return Ok(input);
            }
            Ok(edge::open_input(&url, &[options, long_look()?].concat()).unwrap_or(input))
        })
        .map_err(|error| why_not_opened(path, error))?;
    if edge::input_format_name(&input) == "tty" {
        return Err(SourceError::NotVideo {
            path: path.to_owned(),
            detail: "it looks like text".to_owned(),
        });
    }
    let (video, mut notes) = choose_video(&input, path)?;
    let (mut description, track_of, dropped) = describe(&input, path, video, settings.keep_tracks);
    if settings.start.is_some_and(|start| start > 0.0) {
        // That of the film's first picture, which is not the part's.
        let tracks = description
            .tracks
            .iter_mut()
            .map(|track| &mut track.metadata);
        let tags = [&mut description.metadata, &mut description.video_metadata];
        tracks
            .chain(tags)
            .for_each(|tags| tags.retain(|(key, _)| key != "timecode"));
    }
    notes.extend(dropped);
    let gap = gap(&numbers);
    let has_gap = gap.is_some();
    notes.extend(gap);
    for index in 0..input.nb_streams() as usize {
        let wanted = index == video || matches!(track_of.get(index), Some(Some(_)));
        if !wanted {
            edge::discard(&mut input, index);
        }
    }
    if settings.start.is_none() && !edge::has_absolute_clock(&input) {
        for (index, track) in track_of.iter().enumerate() {
            let first = edge::first_stamp(&mut input, index).unwrap_or(0);
            if let Some(track) = track.and_then(|number| description.tracks.get_mut(number)) {
                track.lead_in = (-first).max(0);
            }
        }
    }
    let frame_rate = edge::frame_rate(&mut input, video);
    let Some(stream) = input.stream(video) else {
        return Err(no_video(path, &input));
    };
    let time_base = stream.time_base();
    let decoder = open_decoder(&stream, path, settings.threads)?;
    let zero = zero_of_clock(&input, video, time_base);
    let guessed = edge::duration_is_guessed(&input);
    let stream_seconds = (stream.duration() > 0 && stream.duration() != ffi::AV_NOPTS_VALUE)
        .then(|| stream.duration() as f64 * f64::from(time_base));
    let container_seconds =
        (input.duration() > 0).then(|| input.duration() as f64 / f64::from(ffi::AV_TIME_BASE));
    let seconds = stream_seconds.or(container_seconds);
    let starts_at = match stream.start_time() {
        ffi::AV_NOPTS_VALUE => 0.0,
        start => start as f64 * f64::from(time_base),
    };
    let frames = u64::try_from(stream.frames()).ok().filter(|n| *n > 0);
    let expected_frames = expected(frames, seconds, frame_rate, settings);
    move_chapters(&mut description, zero, time_base, settings);
    Ok(Opened {
        gap: has_gap,
        decoder,
        video,
        time_base,
        frame_rate,
        expected_frames,
        description,
        track_of,
        zero,
        // The length of a stream counts from its start, that of a container from zero or from its start: the smaller
        // promise is taken.
        promised_end: stream_seconds
            .map(|seconds| seconds + starts_at)
            .or(container_seconds)
            .filter(|_| !guessed),
        notes,
        input,
    })
}

/// Options for the reader of pictures, which no other format knows: those of numbered ones, from the number on and at the rate of
/// `pictures`, else of a picture whose name is a name, whatever `%d` may stand in it.
fn picture_options(pictures: Option<(u64, f64)>) -> Result<Vec<(CString, CString)>, Error> {
    options(match pictures {
        None => vec![("pattern_type", "none".to_owned())],
        Some((first, rate)) => vec![
            ("pattern_type", "sequence".to_owned()),
            ("start_number", first.to_string()),
            ("framerate", rate.to_string()),
        ],
    })
}

/// Whether there is sound of which nothing was heard yet: in a transport stream it may begin late, and only then says what
/// it is.
fn has_unknown_sound(input: &context::Input) -> bool {
    input.streams().any(|stream| {
        let parameters = stream.parameters();
        parameters.medium() == media::Type::Audio && sample_rate(&parameters) == 0
    })
}

/// Looks for the beginning of sound for longer than FFmpeg does by itself.
fn long_look() -> Result<Vec<(CString, CString)>, Error> {
    options(vec![
        ("analyzeduration", LONG_LOOK[0].to_string()),
        ("probesize", LONG_LOOK[1].to_string()),
    ])
}

fn options(words: Vec<(&str, String)>) -> Result<Vec<(CString, CString)>, Error> {
    let words = words
        .into_iter()
        .map(|(key, value)| Ok((CString::new(key)?, CString::new(value)?)));
    words
        .collect::<Result<_, NulError>>()
        .map_err(|_| Error::InvalidData)
}

/// What is to be said of numbered pictures of which one is missing.
fn gap(numbers: &[u64]) -> Option<String> {
    let missing = numbers
        .windows(2)
        .map(|two| (two[0] + 1, two[1]))
        .find(|(wanted, found)| wanted != found)?;
    Some(format!(
        "The picture of number {} is missing, so those from {} on are left out.",
        missing.0, missing.1
    ))
}

/// What the file system can tell before FFmpeg is asked.
fn check_file(path: &Path) -> Result<(), SourceError> {
    let path_buf = path.to_owned();
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return Err(SourceError::Denied { path: path_buf });
        }
        Err(_) => return Err(SourceError::NotFound { path: path_buf }),
    };
    if about.is_dir() {
        return Err(SourceError::Directory { path: path_buf });
    }
    if about.is_file() && about.len() == 0 {
        return Err(SourceError::Empty { path: path_buf });
    }
    // A pipe that is closed again ends who writes to it.
    if !about.is_file() {
        return Ok(());
    }
    match File::open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(SourceError::Denied { path: path_buf })
        }
        Err(error) => Err(SourceError::NotVideo {
            path: path_buf,
            detail: error.to_string(),
        }),
    }
}

fn why_not_opened(path: &Path, error: Error) -> SourceError {
    let path = path.to_owned();
    if fs::metadata(&path).is_ok_and(|about| !about.is_file()) {
        return SourceError::Unseekable { path };
    }
    let mut head = [0; 12];
    let is_mp4 = File::open(&path)
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok()
        && &head[4..8] == b"ftyp";
    match error {
        Error::InvalidData if is_mp4 => SourceError::Incomplete { path },
        Error::InvalidData => SourceError::NotVideo {
            path,
            detail: "its beginning is that of no known format".to_owned(),
        },
        error => SourceError::NotVideo {
            path,
            detail: error.to_string(),
        },
    }
}

/// The video stream to paint: not a cover picture; the one marked as default, then the largest.
fn choose_video(input: &context::Input, path: &Path) -> Result<(usize, Vec<String>), SourceError> {
    let pictures = ffi::AV_DISPOSITION_ATTACHED_PIC | ffi::AV_DISPOSITION_TIMED_THUMBNAILS;
    let candidates: Vec<_> = input
        .streams()
        .filter(|stream| {
            stream.parameters().medium() == media::Type::Video
                && edge::disposition(stream) & pictures == 0
        })
        .collect();
    let best = candidates.iter().max_by_key(|stream| {
        let default = edge::disposition(stream) & ffi::AV_DISPOSITION_DEFAULT != 0;
        let (width, height) = edge::stored_size(stream);
        (default, width * height, std::cmp::Reverse(stream.index()))
    });
    let Some(best) = best else {
        return Err(no_video(path, input));
    };
    let mut notes = Vec::new();
    if candidates.len() > 1 {
        notes.push(format!(
            "The input has {} video streams; stream {} was painted and the others were left out.",
            candidates.len(),
            best.index()
        ));
    }
    Ok((best.index(), notes))
}

fn no_video(path: &Path, input: &context::Input) -> SourceError {
    let mut found: Vec<&str> = input
        .streams()
        .map(|stream| match stream.parameters().medium() {
            media::Type::Video => "a cover picture",
            media::Type::Audio => "sound",
            media::Type::Subtitle => "subtitles",
            media::Type::Attachment => "attachments",
            _ => "data",
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        found.push("an empty container");
    }
    SourceError::NoVideoStream {
        path: path.to_owned(),
        found: found.join(" and "),
    }
}

/// Gathers the tracks that travel along, and says which streams do not.
fn describe(
    input: &context::Input,
    path: &Path,
    video: usize,
    keep_tracks: bool,
) -> (SourceDescription, Vec<Option<usize>>, Vec<String>) {
    let mut description = SourceDescription {
        path: Some(path.to_owned()),
        metadata: edge::container_tags(input),
        chapters: edge::chapters(input)
            .into_iter()
            .map(|(start, end, title)| Chapter { start, end, title })
            .collect(),
        ..SourceDescription::default()
    };
    let mut track_of = Vec::new();
    let (mut dropped, mut covers) = (0, 0);
    for stream in input.streams() {
        if stream.index() == video {
            description.video_metadata = edge::stream_tags(&stream);
            description.video_disposition = edge::disposition(&stream);
        }
        let kind = match stream.parameters().medium() {
            media::Type::Audio => Some(TrackKind::Audio),
            media::Type::Subtitle => Some(TrackKind::Subtitle),
            media::Type::Data | media::Type::Attachment => {
                dropped += usize::from(keep_tracks && !edge::is_made_anew(&stream));
                None
            }
            media::Type::Video if stream.index() != video => {
                let is_cover = edge::disposition(&stream) & ffi::AV_DISPOSITION_ATTACHED_PIC != 0;
                covers += usize::from(keep_tracks && is_cover);
                None
            }
            _ => None,
        };
        let kind = kind.filter(|_| keep_tracks);
        track_of.push(kind.map(|_| description.tracks.len()));
        if let Some(kind) = kind {
            description.tracks.push(Track {
                kind,
                parameters: stream.parameters().clone(),
                time_base: stream.time_base().into(),
                metadata: edge::stream_tags(&stream),
                disposition: edge::disposition(&stream),
                lead_in: 0,
            });
        }
    }
    let mut notes = match dropped {
        0 => Vec::new(),
        1 => vec!["One data or attachment stream of the input was left out.".to_owned()],
        n => vec![format!(
            "{n} data or attachment streams of the input were left out."
        )],
    };
    if covers > 0 {
        notes.push("The cover picture of the input was left out.".to_owned());
    }
    (description, track_of, notes)
}

fn open_decoder(
    stream: &ff::Stream<'_>,
    path: &Path,
    threads: usize,
) -> Result<decoder::Video, SourceError> {
    let parameters = stream.parameters();
    let id = parameters.id();
    let no_decoder = || SourceError::NoDecoder {
        path: path.to_owned(),
        codec: id.name().to_owned(),
    };
    let failed = |source| SourceError::Media {
        path: path.to_owned(),
        action: "opening the decoder",
        source,
    };
    // FFmpeg's own VP8 and VP9 decoders leave alpha out; libvpx reads it.
    let alpha = edge::stream_tags(stream)
        .iter()
        .any(|(key, value)| key.eq_ignore_ascii_case("alpha_mode") && value == "1");
    let with_alpha = match id {
        codec::Id::VP8 if alpha => decoder::find_by_name("libvpx"),
        codec::Id::VP9 if alpha => decoder::find_by_name("libvpx-vp9"),
        _ => None,
    };
    let codec = with_alpha
        .or_else(|| decoder::find(id))
        .ok_or_else(no_decoder)?;
    let mut context = codec::Context::from_parameters(parameters).map_err(failed)?;
    edge::set_threads(&mut context, threads);
    let mut decoder = context.decoder();
    decoder.set_packet_time_base(stream.time_base());
    decoder
        .open_as(codec)
        .and_then(|opened| opened.video())
        .map_err(failed)
}

/// Where the clock's zero is put. Formats with an absolute clock start where the file starts, a video that would start
/// before zero starts at zero; all others keep their clock.
fn zero_of_clock(input: &context::Input, video: usize, time_base: Rational) -> i64 {
    let starts = input.streams().filter(|stream| {
        stream.start_time() != ffi::AV_NOPTS_VALUE
            && matches!(
                stream.parameters().medium(),
                media::Type::Video | media::Type::Audio
            )
    });
    if edge::has_absolute_clock(input) {
        return starts
            .map(|stream| stream.start_time().rescale(stream.time_base(), time_base))
            .min()
            .unwrap_or(0);
    }
    starts
        .filter(|stream| stream.index() == video)
        .map(|stream| stream.start_time())
        .min()
        .unwrap_or(0)
        .min(0)
}

fn expected(
    frames: Option<u64>,
    seconds: Option<f64>,
    rate: Option<Rational>,
    settings: &VideoSourceSettings,
) -> Option<u64> {
    let rate = f64::from(rate?);
    let whole = seconds.or(frames.map(|n| n as f64 / rate));
    if settings.start.is_none() && settings.duration.is_none() {
        return frames.or(whole.map(|seconds| (seconds * rate).round() as u64));
    }
    let left = whole.map(|seconds| (seconds - settings.start.unwrap_or(0.0)).max(0.0));
    let part = match (left, settings.duration) {
        (Some(left), Some(wanted)) => left.min(wanted),
        (Some(seconds), None) | (None, Some(seconds)) => seconds,
        (None, None) => return None,
    };
    Some((part * rate).round().max(1.0) as u64)
}

/// Brings the chapters to the clock of the output and cuts them to the wanted part.
fn move_chapters(
    description: &mut SourceDescription,
    zero: i64,
    time_base: Rational,
    settings: &VideoSourceSettings,
) {
    let zero = zero as f64 * f64::from(time_base) + settings.start.unwrap_or(0.0);
    let end = settings.duration.unwrap_or(f64::INFINITY);
    for chapter in &mut description.chapters {
        chapter.start = (chapter.start - zero).max(0.0);
        chapter.end = (chapter.end - zero).min(end);
    }
    description
        .chapters
        .retain(|chapter| chapter.start < chapter.end);
}
