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

impl Sizing {
    /// The size at which a picture of `width` by `height` pixels is painted.
    pub fn apply(self, width: usize, height: usize) -> (usize, usize) {
        match self {
            Self::Native => (width, height),
            Self::Exact { width, height } => (width, height),
            Self::MaxSide(side) => fit((width, height), side),
        }
    }
}

/// Shrinks a size so that its long side is at most `max_side`, to even numbers; never enlarges.
fn fit((width, height): (usize, usize), max_side: usize) -> (usize, usize) {
    let long = width.max(height);
    if long <= max_side {
        return (width, height);
    }
    let max_side = (max_side & !1).max(2);
    let scale = max_side as f64 / long as f64;
    let even = |side: usize| ((side as f64 * scale / 2.0).round() as usize * 2).max(2);
    (even(width), even(height))
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
    /// Frames per second of numbered pictures; [`PICTURE_RATE`] where none is named.
    pub picture_rate: Option<f64>,
}

/// Frames per second of numbered pictures for which no rate is named.
pub const PICTURE_RATE: f64 = 25.0;

impl Default for VideoSourceSettings {
    fn default() -> Self {
        Self {
            size: Sizing::Native,
            start: None,
            duration: None,
            keep_tracks: true,
            threads: 2,
            picture_rate: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn fitting_shrinks_only_and_to_even_sides() {
        assert_eq!(fit((1920, 1080), 640), (640, 360));
        assert_eq!(fit((1080, 1920), 640), (360, 640));
        assert_eq!(fit((320, 240), 640), (320, 240));
        assert_eq!(fit((1000, 333), 500), (500, 166));
        assert_eq!(fit((160, 90), 101), (100, 56));
    }
}
