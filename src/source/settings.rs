//! What the user can choose about reading a video file.

/// The size at which frames are painted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sizing {
    /// As displayed: upright, with square pixels.
    #[default]
    Native,
    /// Exactly this, in pixels.
    Exact {
        /// Width of the upright picture in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// As displayed, shrunk until the long side has at most this many pixels.
    MaxSide(usize),
}

/// How a video file is read.
#[derive(Clone, Debug)]
pub struct VideoSourceSettings {
    /// The size at which frames are painted.
    pub size: Sizing,
    /// Where to begin, in seconds.
    pub start: Option<f64>,
    /// How much to read, in seconds.
    pub duration: Option<f64>,
    /// Whether sound and subtitles travel along.
    pub keep_tracks: bool,
    /// Threads of the decoder and of the conversion to RGB.
    pub threads: usize,
}

impl Default for VideoSourceSettings {
    fn default() -> Self {
        Self {
            size: Sizing::Native,
            start: None,
            duration: None,
            keep_tracks: true,
            threads: 2,
        }
    }
}
