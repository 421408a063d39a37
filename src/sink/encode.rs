//! From painted RGB to compressed pictures.
//!
//! A filter graph turns RGB into what the codec wants (for all but FFV1: 8-bit 4:2:0, BT.709, limited range, which is
//! what every player assumes), and the encoder is told the same, so that the stream is tagged with what it really is.

use std::{collections::VecDeque, path::Path};

use ffmpeg_next::{
    self as ff, Error, Packet, Rational, codec, encoder, error::EAGAIN, ffi, format::Pixel,
};

use super::{Codec, SinkError, VideoSinkSettings};
use crate::{
    frame::Picture,
    media::{edge, graph::Graph, planes, prepare},
    source::{Ratio, StreamInfo},
};

/// The encoders for each codec, the preferred one first.
fn encoders(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::H264 => &["libx264"],
        Codec::Hevc => &["libx265"],
        Codec::Vp9 => &["libvpx-vp9"],
        Codec::Av1 => &["libaom-av1", "librav1e", "libsvtav1"],
        Codec::Ffv1 => &["ffv1"],
    }
}

/// Threads that bring pictures into the encoder's format at most; the result is the same.
const CONVERTING: usize = 4;

/// The presets of x264 and x265.
const X26X_PRESETS: [&str; 10] = [
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

fn first(codec: Codec) -> Option<ff::Codec> {
    encoders(codec)
        .iter()
        .find_map(|name| encoder::find_by_name(name))
}

/// The codecs that this FFmpeg can write.
pub fn available() -> impl Iterator<Item = Codec> {
    prepare();
    Codec::ALL
        .into_iter()
        .filter(|codec| first(*codec).is_some())
}

/// Finds an encoder for `codec`.
///
/// # Errors
/// [`SinkError::NoEncoder`], which lists the codecs that could be used instead.
pub(super) fn find(codec: Codec) -> Result<ff::Codec, SinkError> {
    prepare();
    first(codec).ok_or_else(|| {
        let available: Vec<_> = available().map(Codec::name).collect();
        SinkError::NoEncoder {
            codec: codec.name(),
            available: if available.is_empty() {
                "none that is known here; install libavcodec-extra".to_owned()
            } else {
                available.join(", ")
            },
        }
    })
}

/// The options of an encoder: quality, speed, silence.
///
/// The defaults were measured on two cores at 1280x720 (132 frames): x264 veryfast takes 12 ms of processor time a
/// frame and a third less space than superfast (8 ms); faster takes 20 ms for nothing.
fn options(
    name: &str,
    codec: Codec,
    settings: &VideoSinkSettings,
) -> Result<Vec<(&'static str, String)>, SinkError> {
    let crf = |default: u8, max: u8| match settings.crf {
        Some(value) if value > max => Err(SinkError::BadCrf {
            value,
            codec: codec.name(),
            max,
        }),
        Some(value) => Ok(value.to_string()),
        None => Ok(default.to_string()),
    };
    let number = |default: u8, max: u8, takes: &'static str| match &settings.preset {
        None => Ok(default.to_string()),
        Some(text) => match text.parse::<u8>() {
            Ok(value) if value <= max => Ok(value.to_string()),
            _ => Err(SinkError::BadPreset {
                value: text.clone(),
                codec: codec.name(),
                takes,
            }),
        },
    };
    let named = |default: &str| {
        let preset = settings.preset.as_deref().unwrap_or(default);
        if X26X_PRESETS.contains(&preset) {
            Ok(preset.to_owned())
        } else {
            Err(SinkError::BadPreset {
                value: preset.to_owned(),
                codec: codec.name(),
                takes: "ultrafast, superfast, veryfast, faster, fast, medium, slow, slower, veryslow or placebo",
            })
        }
    };
    let digits_8 = "a number from 0 (best) to 8 (fastest)";
    let digits_10 = "a number from 0 (best) to 10 (fastest)";
    Ok(match name {
        "libx264" => {
            let mut options = vec![("crf", crf(20, 51)?), ("preset", named("veryfast")?)];
            if settings.live {
                options.extend([("tune", "zerolatency".to_owned()), ("g", "60".to_owned())]);
            }
            options
        }
        "libx265" => vec![
            ("crf", crf(23, 51)?),
            ("preset", named("ultrafast")?),
            (
                "x265-params",
                format!("log-level=none:pools={}", settings.threads.max(1)),
            ),
        ],
        "libvpx-vp9" => vec![
            (
                "lag-in-frames",
                if settings.live { "0" } else { "25" }.to_owned(),
            ),
            ("crf", crf(30, 63)?),
            ("b", "0".to_owned()),
            ("deadline", "realtime".to_owned()),
            ("cpu-used", number(6, 8, digits_8)?),
            ("row-mt", "1".to_owned()),
            ("tile-columns", "1".to_owned()),
        ],
        "libaom-av1" => vec![
            ("crf", crf(30, 63)?),
            ("b", "0".to_owned()),
            ("usage", "realtime".to_owned()),
            ("cpu-used", number(8, 8, digits_8)?),
            ("row-mt", "1".to_owned()),
        ],
        "librav1e" => vec![
            (
                "qp",
                (u16::from(crf(30, 63)?.parse::<u8>().unwrap_or(30)) * 4).to_string(),
            ),
            ("speed", number(10, 10, digits_10)?),
        ],
        "libsvtav1" => vec![
            ("crf", crf(35, 63)?),
            (
                "preset",
                number(10, 13, "a number from 0 (best) to 13 (fastest)")?,
            ),
        ],
        _ => {
            let option = match settings {
                VideoSinkSettings { crf: Some(_), .. } => Some("--crf"),
                VideoSinkSettings {
                    preset: Some(_), ..
                } => Some("--preset"),
                _ => None,
            };
            if let Some(option) = option {
                return Err(SinkError::NotForCodec {
                    option,
                    codec: codec.name(),
                });
            }
            // Version 3 with checksums, in slices so that threads can share a frame; every frame stands alone.
            vec![
                ("level", "3".to_owned()),
                ("slices", "4".to_owned()),
                ("slicecrc", "1".to_owned()),
                ("g", "1".to_owned()),
            ]
        }
    })
}

/// Pictures in, packets out.
pub(super) struct VideoEncoder {
    graph: Graph,
    encoder: encoder::video::Encoder,
    time_base: Rational,
    width: usize,
    height: usize,
    /// Time stamps and durations of the frames inside the encoder.
    inside: VecDeque<(i64, i64)>,
    in_graph: VecDeque<i64>,
    pushed: i64,
    last_pts: Option<i64>,
}

impl VideoEncoder {
    /// Opens the encoder for pictures of the size and time base of `info`. Returns it, and a note where pictures are
    /// cropped.
    ///
    /// # Errors
    /// When the encoder is missing or does not take the settings.
    pub(super) fn open(
        path: &Path,
        info: &StreamInfo,
        codec: Codec,
        settings: &VideoSinkSettings,
        global_header: bool,
    ) -> Result<(Self, Option<String>), SinkError> {
        let failed = |source| SinkError::Media {
            path: path.to_owned(),
            action: "opening the encoder",
            source,
        };
        let found = find(codec)?;
        let lossless = codec == Codec::Ffv1;
        let (width, height) = if lossless {
            (info.width, info.height)
        } else {
            (info.width & !1, info.height & !1)
        };
        if width.min(height) < 2 || width.max(height) > 16384 {
            return Err(SinkError::BadSize {
                width: info.width,
                height: info.height,
            });
        }
        let note = ((width, height) != (info.width, info.height)).then(|| {
            format!(
                "The picture of {}x{} was cropped to {width}x{height}: {} needs even sides.",
                info.width,
                info.height,
                codec.name()
            )
        });
        let options: ff::Dictionary<'_> = options(found.name(), codec, settings)?
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let mut context = codec::Context::new_with_codec(found);
        edge::set_threads(&mut context, settings.threads);
        let mut video = context.encoder().video().map_err(failed)?;
        let time_base = Rational::from(info.time_base);
        video.set_width(width as u32);
        video.set_height(height as u32);
        video.set_time_base(time_base);
        video.set_frame_rate(info.frame_rate.map(|Ratio { num, den }| Rational(num, den)));
        video.set_aspect_ratio(Rational(1, 1));
        video.set_format(if lossless {
            Pixel::BGRZ
        } else {
            Pixel::YUV420P
        });
        edge::tag_colours(&mut video, lossless);
        if global_header {
            video.set_flags(codec::Flags::GLOBAL_HEADER);
        }
        let encoder = video.open_as_with(found, options).map_err(failed)?;
        let crop = format!("crop={width}:{height}:0:0:exact=1");
        let convert = if lossless {
            "format=bgr0"
        } else if ff::filter::find("zscale").is_some() {
            // On several threads it would resample each slice by itself.
            "zscale=f=bicubic:min=gbr:rin=full:m=709:r=limited:threads=1,format=yuv420p"
        } else {
            "scale=out_color_matrix=bt709:out_range=tv:out_h_chr_pos=0:flags=bicubic+accurate_rnd+full_chroma_inp,format=yuv420p"
        };
        let filters = format!("{crop},{convert}");
        let graph = Graph::new(
            info.width as u32,
            info.height as u32,
            ffi::AVPixelFormat::AV_PIX_FMT_GBRP as i32,
            &filters,
            settings.threads.min(CONVERTING),
        )
        .map_err(failed)?;
        let this = Self {
            graph,
            encoder,
            time_base,
            width: info.width,
            height: info.height,
            inside: VecDeque::new(),
            in_graph: VecDeque::new(),
            pushed: 0,
            last_pts: None,
        };
        Ok((this, note))
    }

    /// The opened encoder, for the stream's parameters.
    pub(super) fn context(&self) -> &codec::Context {
        self.encoder.as_ref()
    }

    /// Seconds per unit of its time stamps.
    pub(super) fn time_base(&self) -> Rational {
        self.time_base
    }

    /// What is wrong with a frame of this size and time, if anything.
    pub(super) fn objection(&self, picture: &Picture, pts: i64) -> Option<String> {
        if (picture.width(), picture.height()) != (self.width, self.height) {
            return Some(format!(
                "a frame of {}x{} came among frames of {}x{}",
                picture.width(),
                picture.height(),
                self.width,
                self.height
            ));
        }
        match self.last_pts {
            Some(last) if pts <= last => Some(format!(
                "a frame with time stamp {pts} came behind one with {last}"
            )),
            _ => None,
        }
    }

    /// Takes the next picture. `duration` may be 0.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(super) fn push(&mut self, picture: &Picture, pts: i64, duration: i64) -> Result<(), Error> {
        let mut frame = planes::frame_of(picture)?;
        self.last_pts = Some(pts);
        self.inside.push_back((pts, duration));
        self.in_graph.push_back(pts);
        self.graph.push(self.pushed, &mut frame)?;
        self.pushed += 1;
        while let Some((_, mut converted)) = self.graph.pull()? {
            converted.set_pts(self.in_graph.pop_front());
            converted.set_kind(ff::picture::Type::None);
            self.encoder.send_frame(&converted)?;
        }
        Ok(())
    }

    /// Says that no picture follows.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.encoder.send_eof()
    }

    /// Takes the next packet, if one is ready.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(super) fn pull(&mut self) -> Result<Option<Packet>, Error> {
        let mut packet = Packet::empty();
        match self.encoder.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(Error::Eof | Error::Other { errno: EAGAIN }) => return Ok(None),
            Err(error) => return Err(error),
        }
        let place = self
            .inside
            .iter()
            .position(|(pts, _)| Some(*pts) == packet.pts());
        if let Some((_, duration)) = place.and_then(|place| self.inside.remove(place)) {
            packet.set_duration(duration);
        }
        Ok(Some(packet))
    }
}
