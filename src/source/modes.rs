//! Which of a camera's modes to take, and what its bytes mean.

use ffmpeg_next::{
    Packet, codec, decoder,
    format::Pixel,
    frame::{self, Video},
};

use super::CameraMode;
use crate::{frame::Picture, media::scale::Scaler};

/// What is wanted of a camera.
#[derive(Clone, Debug, Default)]
pub struct CameraWish {
    /// Exactly this size in pixels; else something between 640x360 and 1280x720.
    pub size: Option<(usize, usize)>,
    /// As near to this as there is.
    pub rate_hz: f64,
    /// Only this format, by its name on the command line.
    pub format: Option<String>,
}

/// Pixel formats of cameras that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Yuyv,
    Nv12,
    Mjpeg,
    Rgb,
    Bgr,
    Gray,
}

impl Layout {
    pub(super) const ALL: [Self; 6] = [
        Self::Yuyv,
        Self::Nv12,
        Self::Mjpeg,
        Self::Rgb,
        Self::Bgr,
        Self::Gray,
    ];

    /// As it is typed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Yuyv => "yuyv",
            Self::Nv12 => "nv12",
            Self::Mjpeg => "mjpeg",
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
            Self::Gray => "gray",
        }
    }

    /// Cost of using it, against other reasons to choose a mode: what it takes to decode, or that it lacks colour.
    fn cost(self) -> f64 {
        match self {
            Self::Yuyv | Self::Nv12 => 0.0,
            Self::Rgb | Self::Bgr => 0.02,
            Self::Mjpeg => 0.1,
            Self::Gray => 5.0,
        }
    }

    fn pixel(self) -> Pixel {
        match self {
            Self::Yuyv => Pixel::YUYV422,
            Self::Nv12 => Pixel::NV12,
            Self::Mjpeg => Pixel::YUVJ422P,
            Self::Rgb => Pixel::RGB24,
            Self::Bgr => Pixel::BGR24,
            Self::Gray => Pixel::GRAY8,
        }
    }
}

/// A mode that a camera offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mode {
    pub(super) layout: Layout,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rate_hz: f64,
}

impl From<Mode> for CameraMode {
    fn from(mode: Mode) -> Self {
        Self {
            width: mode.width,
            height: mode.height,
            rate_hz: Some(mode.rate_hz),
            format: mode.layout.name().to_uppercase(),
        }
    }
}

/// The modes that fit the wish, the best first; empty when none has the wanted size or format.
pub(super) fn candidates(modes: &[Mode], wish: &CameraWish) -> Vec<Mode> {
    let mut fitting: Vec<_> = modes
        .iter()
        .copied()
        .filter(|mode| {
            wish.size
                .is_none_or(|size| size == (mode.width, mode.height))
                && wish
                    .format
                    .as_ref()
                    .is_none_or(|format| format.eq_ignore_ascii_case(mode.layout.name()))
        })
        .collect();
    fitting.sort_by(|a, b| penalty(a, wish).total_cmp(&penalty(b, wish)));
    fitting
}

fn penalty(mode: &Mode, wish: &CameraWish) -> f64 {
    const SMALL: f64 = 640.0 * 360.0;
    const LARGE: f64 = 1280.0 * 720.0;
    let area = (mode.width * mode.height) as f64;
    // Under the range is worse than over it, and within it smaller is cheaper.
    let size = if wish.size.is_some() {
        0.0
    } else {
        2.0 * (SMALL / area).ln().max(0.0)
            + (area / LARGE).ln().max(0.0)
            + 0.1 * (area / SMALL).ln().abs()
    };
    let rate = if mode.rate_hz < wish.rate_hz {
        3.0 * (wish.rate_hz / mode.rate_hz).ln()
    } else {
        0.3 * (mode.rate_hz / wish.rate_hz).ln()
    };
    size + rate + mode.layout.cost()
}

/// Modes in words, each size once with its highest rate.
pub(super) fn describe(modes: &[Mode]) -> String {
    let mut best: Vec<Mode> = Vec::new();
    for mode in modes {
        let same =
            |m: &&mut Mode| (m.layout, m.width, m.height) == (mode.layout, mode.width, mode.height);
        match best.iter_mut().find(same) {
            Some(known) => known.rate_hz = known.rate_hz.max(mode.rate_hz),
            None => best.push(*mode),
        }
    }
    if best.is_empty() {
        return "nothing that is understood here".into();
    }
    let texts: Vec<_> = best
        .into_iter()
        .map(|mode| CameraMode::from(mode).to_string())
        .collect();
    texts.join(", ")
}

/// Turns a camera's bytes into pictures.
pub(super) struct Decoder {
    mode: Mode,
    raw: Video,
    jpeg: Option<decoder::Video>,
    scaler: Scaler,
}

impl Decoder {
    pub(super) fn new(mode: Mode) -> Result<Self, ffmpeg_next::Error> {
        crate::media::prepare();
        let jpeg = match mode.layout {
            Layout::Mjpeg => {
                let found =
                    decoder::find(codec::Id::MJPEG).ok_or(ffmpeg_next::Error::DecoderNotFound)?;
                let context = codec::Context::new_with_codec(found);
                Some(context.decoder().video()?)
            }
            _ => None,
        };
        Ok(Self {
            raw: Video::new(mode.layout.pixel(), mode.width as u32, mode.height as u32),
            mode,
            jpeg,
            scaler: Scaler::default(),
        })
    }

    /// A picture from what the camera delivered; `None` when it is torn.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Option<Picture> {
        let (width, height) = (self.mode.width, self.mode.height);
        if let Some(decoder) = &mut self.jpeg {
            decoder.send_packet(&Packet::copy(bytes)).ok()?;
            let mut decoded = frame::Video::empty();
            decoder.receive_frame(&mut decoded).ok()?;
            return self.scaler.rgb_of(&decoded).ok();
        }
        if self.mode.layout == Layout::Rgb {
            let rgb = bytes.get(..width * height * 3)?;
            return Picture::new(width, height, rgb.to_vec()).ok();
        }
        let (row, rows) = match self.mode.layout {
            Layout::Yuyv => (width.next_multiple_of(2) * 2, height),
            Layout::Nv12 => (width, height + height.div_ceil(2)),
            Layout::Bgr => (width * 3, height),
            _ => (width, height),
        };
        // Rows may be padded, which shows in the length.
        let pitch = if bytes.len().is_multiple_of(rows) {
            (bytes.len() / rows).max(row)
        } else {
            row
        };
        if bytes.len() < pitch * (rows - 1) + row || pitch > row * 2 {
            return None;
        }
        let mut lines = bytes.chunks(pitch);
        for plane in 0..self.raw.planes() {
            let stride = self.raw.stride(plane);
            let count = if plane == 0 { height } else { rows - height };
            for (to, from) in self
                .raw
                .data_mut(plane)
                .chunks_mut(stride)
                .zip(lines.by_ref().take(count))
            {
                let length = row.min(to.len()).min(from.len());
                to[..length].copy_from_slice(&from[..length]);
            }
        }
        self.scaler.rgb_of(&self.raw).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(layout: Layout, width: usize, height: usize, rate_hz: f64) -> Mode {
        Mode {
            layout,
            width,
            height,
            rate_hz,
        }
    }

    fn wish() -> CameraWish {
        CameraWish {
            rate_hz: 30.0,
            ..CameraWish::default()
        }
    }

    #[test]
    fn an_ordinary_webcam_gives_its_raw_360p() {
        use Layout::{Mjpeg, Yuyv};
        let modes = [
            mode(Yuyv, 640, 480, 30.0),
            mode(Yuyv, 160, 120, 30.0),
            mode(Yuyv, 640, 360, 30.0),
            mode(Yuyv, 1280, 720, 10.0),
            mode(Mjpeg, 1280, 720, 30.0),
            mode(Mjpeg, 1920, 1080, 30.0),
        ];
        assert_eq!(candidates(&modes, &wish())[0], modes[2]);
        // Raw 720p comes at 10 frames/s, compressed at 30.
        let large = CameraWish {
            size: Some((1280, 720)),
            ..wish()
        };
        assert_eq!(candidates(&modes, &large)[0], modes[4]);
        let raw = CameraWish {
            format: Some("YUYV".into()),
            ..large
        };
        assert_eq!(candidates(&modes, &raw)[0], modes[3]);
        let none = CameraWish {
            size: Some((1, 1)),
            ..wish()
        };
        assert_eq!(candidates(&modes, &none), []);
    }

    #[test]
    fn a_camera_that_is_slow_at_large_sizes_gives_a_small_one() {
        let modes = [
            mode(Layout::Yuyv, 320, 180, 60.0),
            mode(Layout::Yuyv, 640, 360, 40.0),
            mode(Layout::Yuyv, 640, 480, 25.0),
            mode(Layout::Nv12, 1280, 720, 12.5),
        ];
        assert_eq!(candidates(&modes, &wish())[0], modes[1]);
    }

    #[test]
    fn grey_bytes_become_grey_pictures_in_every_layout() {
        let (width, height) = (64, 48);
        let pixels = width * height;
        for (layout, bytes) in [
            (Layout::Yuyv, [126u8, 128].repeat(pixels)),
            (
                Layout::Nv12,
                [vec![126; pixels], vec![128; pixels / 2]].concat(),
            ),
            (Layout::Rgb, vec![128; pixels * 3]),
            (Layout::Bgr, vec![128; pixels * 3]),
            (Layout::Gray, vec![128; pixels]),
        ] {
            let mut decoder = Decoder::new(mode(layout, width, height, 30.0)).unwrap();
            let picture = decoder.decode(&bytes).unwrap();
            assert_eq!((picture.width(), picture.height()), (width, height));
            for value in picture.rgb() {
                assert!(value.abs_diff(128) <= 2, "{layout:?}: {value}");
            }
            assert!(decoder.decode(&bytes[..bytes.len() / 2]).is_none());
        }
    }

    #[test]
    fn colours_come_through_yuyv_and_bgr() {
        // BT.601 red, limited range: Y 81, U 90, V 240.
        let bytes = [81, 90, 81, 240].repeat(64 * 48 / 2);
        let mut decoder = Decoder::new(mode(Layout::Yuyv, 64, 48, 30.0)).unwrap();
        let picture = decoder.decode(&bytes).unwrap();
        let [r, g, b] = [picture.rgb()[0], picture.rgb()[1], picture.rgb()[2]];
        assert!(r > 245 && g < 10 && b < 10, "{r} {g} {b}");
        let mut decoder = Decoder::new(mode(Layout::Bgr, 64, 48, 30.0)).unwrap();
        let picture = decoder.decode(&[0, 0, 255].repeat(64 * 48)).unwrap();
        assert_eq!(picture.rgb()[..3], [255, 0, 0]);
    }
}
