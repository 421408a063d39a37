//! Making media, passing it through source and sink, and looking at the result.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use allaprima::{
    frame::{Frame, Packet},
    sink::{FrameSink, SinkError, VideoFileSink, VideoSinkSettings},
    source::{FrameSource, SourceError, StreamInfo, VideoFileSource, VideoSourceSettings},
};
use tempfile::TempDir;

/// A folder that is removed at the end of the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `ffmpeg` with these words and the output's name behind them, and returns the output's path.
    pub fn make(&self, name: &str, arguments: &str) -> PathBuf {
        let path = self.path(name);
        let mut words: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        for word in &mut words {
            // `@name` stands for a file in this folder.
            if let Some(name) = word.strip_prefix('@') {
                *word = self.path(name).to_string_lossy().into_owned();
            }
        }
        let result = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(&words)
            .arg(&path)
            .output()
            .expect("the tests need the ffmpeg program");
        assert!(
            result.status.success(),
            "ffmpeg {arguments}: {}",
            String::from_utf8_lossy(&result.stderr)
        );
        path
    }

    /// The names in the folder, to see that nothing was left behind.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Everything that a source yielded.
pub struct Read {
    pub info: StreamInfo,
    pub frames: Vec<Frame>,
    pub resets: usize,
    pub notes: Vec<String>,
}

impl Read {
    /// Time stamps in seconds.
    pub fn seconds(&self) -> Vec<f64> {
        let unit = self.info.time_base.value();
        self.frames.iter().map(|f| f.pts as f64 * unit).collect()
    }

    /// Whether one of the notes holds this text.
    pub fn notes_say(&self, text: &str) -> bool {
        self.notes.iter().any(|note| note.contains(text))
    }

    /// The mean colour of a patch of 8x8 pixels in the middle of the given cell of a `columns` x `rows` grid.
    pub fn colour(
        &self,
        frame: usize,
        (column, columns): (usize, usize),
        (row, rows): (usize, usize),
    ) -> [f64; 3] {
        let picture = &self.frames[frame].picture;
        let x = (2 * column + 1) * picture.width() / (2 * columns) - 4;
        let y = (2 * row + 1) * picture.height() / (2 * rows) - 4;
        let mut sum = [0.0; 3];
        for yy in y..y + 8 {
            for xx in x..x + 8 {
                let at = (yy * picture.width() + xx) * 3;
                for (sum, value) in sum.iter_mut().zip(&picture.rgb()[at..at + 3]) {
                    *sum += f64::from(*value) / 64.0;
                }
            }
        }
        sum
    }
}

/// Reads a file to its end.
pub fn read(path: &Path, settings: VideoSourceSettings) -> Result<Read, SourceError> {
    let mut source = VideoFileSource::open(path, settings)?;
    let info = source.info().clone();
    let (mut frames, mut resets) = (Vec::new(), 0);
    loop {
        match source.next()? {
            Packet::Frame(frame) => frames.push(frame),
            Packet::Reset(_) => resets += 1,
            Packet::Track(_) => {}
            Packet::End => break,
        }
    }
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame.source_index, number as u64);
        assert_eq!(frame.seq, number as u64);
        assert_eq!(frame.picture.width(), info.width);
        assert_eq!(frame.picture.height(), info.height);
    }
    for pair in frames.windows(2) {
        assert!(pair[0].pts < pair[1].pts, "time stamps must rise");
    }
    Ok(Read {
        info,
        frames,
        resets,
        notes: source.notes(),
    })
}

/// Reads a file with default settings.
pub fn read_all(path: &Path) -> Read {
    read(path, VideoSourceSettings::default()).unwrap()
}

/// What a run from source to sink came to.
pub struct Passed {
    pub frames: usize,
    pub notes: Vec<String>,
}

impl Passed {
    /// Whether one of the notes holds this text.
    pub fn notes_say(&self, text: &str) -> bool {
        self.notes.iter().any(|note| note.contains(text))
    }
}

/// Passes a file from source to sink.
pub fn pass_with(
    input: &Path,
    output: &Path,
    reading: VideoSourceSettings,
    writing: VideoSinkSettings,
) -> Result<Passed, SinkError> {
    let mut source = VideoFileSource::open(input, reading).unwrap();
    let info = source.info().clone();
    let mut sink = VideoFileSink::create(output, &info, source.description(), writing)?;
    let mut frames = 0;
    loop {
        match source.next().unwrap() {
            Packet::Frame(frame) => {
                frames += 1;
                sink.frame(frame)?;
            }
            Packet::Track(packet) => sink.track(packet)?,
            Packet::Reset(_) => {}
            Packet::End => break,
        }
    }
    sink.finish()?;
    let mut notes = source.notes();
    notes.extend(sink.notes());
    Ok(Passed { frames, notes })
}

/// Passes a file with default settings.
pub fn pass(input: &Path, output: &Path) -> Passed {
    pass_with(input, output, VideoSourceSettings::default(), quick()).unwrap()
}

/// Settings that encode fast.
pub fn quick() -> VideoSinkSettings {
    VideoSinkSettings {
        threads: 1,
        ..VideoSinkSettings::default()
    }
}

/// What `ffprobe` says, line by line, without the section's name.
pub fn probe(path: &Path, streams: &str, entries: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-of", "csv=p=0", "-show_entries", entries]);
    if !streams.is_empty() {
        command.args(["-select_streams", streams]);
    }
    let result = command.arg(path).output().unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    String::from_utf8(result.stdout)
        .unwrap()
        .lines()
        .map(|line| line.trim_end_matches(',').to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// The presentation times of a stream's packets, in seconds, sorted.
pub fn times(path: &Path, stream: &str) -> Vec<f64> {
    let mut times: Vec<f64> = probe(path, stream, "packet=pts_time")
        .iter()
        .filter_map(|line| line.split(',').next().and_then(|time| time.parse().ok()))
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The hash of a stream's packets.
pub fn packet_hash(path: &Path, stream: &str) -> String {
    let result = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args([
            "-map",
            &format!("0:{stream}"),
            "-c",
            "copy",
            "-f",
            "streamhash",
            "-",
        ])
        .output()
        .unwrap();
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    let text = String::from_utf8(result.stdout).unwrap();
    text.trim().split(',').next_back().unwrap().to_owned()
}

/// Asserts that two lists of times are equal within `tolerance` seconds.
#[track_caller]
pub fn assert_times(one: &[f64], other: &[f64], tolerance: f64) {
    assert_eq!(one.len(), other.len(), "{one:?}\n{other:?}");
    for (number, (a, b)) in one.iter().zip(other).enumerate() {
        assert!(
            (a - b).abs() <= tolerance,
            "time {number}: {a} against {b}\n{one:?}\n{other:?}"
        );
    }
}

/// Asserts that two colours are equal within `tolerance` steps.
#[track_caller]
pub fn assert_colour(found: [f64; 3], wanted: [f64; 3], tolerance: f64) {
    for (a, b) in found.iter().zip(&wanted) {
        assert!(
            (a - b).abs() <= tolerance,
            "found {found:.1?}, wanted {wanted:.1?}"
        );
    }
}
