//! The FFI edge of sound: formats of samples and layouts of channels.

use std::{ffi::CString, ptr};

use ffmpeg_next::{Error, Packet, Rational, codec, codec::Parameters, ffi, filter, frame};

use super::edge::{check, text};

/// FFmpeg's mark for a time stamp that is not known.
pub(crate) const NO_STAMP: i64 = ffi::AV_NOPTS_VALUE;

/// Length in samples of the sound in a packet, 0 when unknown.
pub(crate) fn samples_in(parameters: &mut Parameters, packet: &Packet) -> i32 {
    // SAFETY: live parameters; the call only reads.
    unsafe { ffi::av_get_audio_frame_duration2(parameters.as_mut_ptr(), packet.size() as i32) }
}

/// Samples per second, 0 when unknown.
pub(crate) fn sample_rate(parameters: &Parameters) -> i32 {
    // SAFETY: live parameters.
    unsafe { (*parameters.as_ptr()).sample_rate }
}

/// A time stamp of a track of sound in another time base, computed from the number of samples so that the rounding of a
/// coarse clock (Matroska's milliseconds) does not become jitter. `last` is carried from packet to packet and starts as
/// [`NO_STAMP`].
pub(crate) fn rescale_sound(
    stamp: i64,
    from: Rational,
    sample_rate: i32,
    samples: i32,
    last: &mut i64,
    to: Rational,
) -> i64 {
    let rate = ffi::AVRational {
        num: 1,
        den: sample_rate,
    };
    // SAFETY: plain arithmetic; `last` is a live reference.
    unsafe { ffi::av_rescale_delta(from.into(), stamp, rate, samples, last, to.into()) }
}

/// Says how many samples at the beginning only prepare the decoder, where the parameters do not say it yet.
pub(crate) fn set_lead_in(parameters: &mut Parameters, samples: i64) {
    // SAFETY: live parameters.
    unsafe {
        let parameters = parameters.as_mut_ptr();
        if (*parameters).initial_padding == 0 {
            (*parameters).initial_padding = samples as i32;
        }
    }
}

/// How many samples at the beginning only prepare the decoder, as the parameters say.
pub(crate) fn lead_in(parameters: &Parameters) -> i64 {
    // SAFETY: live parameters.
    i64::from(unsafe { (*parameters.as_ptr()).initial_padding }).max(0)
}

/// Fills in what a header of sound needs: stereo at 44.1 kHz, with a run-up.
pub(crate) fn set_up_trial(parameters: &mut Parameters) {
    // SAFETY: live parameters.
    unsafe {
        let parameters = parameters.as_mut_ptr();
        (*parameters).sample_rate = 44_100;
        (*parameters).initial_padding = 1105;
        ffi::av_channel_layout_default(&mut (*parameters).ch_layout, 2);
    }
}

/// How the samples of a frame are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SoundFormat {
    /// Name of the sample format (`fltp`).
    pub(crate) samples: String,
    /// Samples per second.
    pub(crate) rate: i32,
    /// Name of the channel layout (`5.1(side)`).
    pub(crate) layout: String,
}

/// # Safety
/// `layout` is an initialised layout that may be changed.
unsafe fn name_layout(layout: *mut ffi::AVChannelLayout) -> String {
    // SAFETY: the caller's promise; the text is written with its length given.
    unsafe {
        if (*layout).order != ffi::AVChannelOrder::AV_CHANNEL_ORDER_NATIVE {
            let channels = (*layout).nb_channels;
            ffi::av_channel_layout_uninit(layout);
            ffi::av_channel_layout_default(layout, channels);
        }
        let mut name = [0; 128];
        if ffi::av_channel_layout_describe(layout, name.as_mut_ptr(), name.len()) < 0 {
            return String::new();
        }
        text(name.as_ptr())
    }
}

/// The format of a decoded frame. A layout that the file does not name becomes the usual one for its channels.
pub(crate) fn format_of(sound: &mut frame::Audio) -> SoundFormat {
    // SAFETY: a live frame; the name of an unknown sample format is null, which becomes an empty text.
    unsafe {
        let frame = sound.as_mut_ptr();
        let number = (*frame).format;
        let known = (0..ffi::AVSampleFormat::AV_SAMPLE_FMT_NB as i32).contains(&number);
        let name = if known {
            ffi::av_get_sample_fmt_name(sound.format().into())
        } else {
            ptr::null()
        };
        SoundFormat {
            samples: text(name),
            rate: (*frame).sample_rate,
            layout: name_layout(&mut (*frame).ch_layout),
        }
    }
}

/// How many channels a track has, and the name of their layout.
pub(crate) fn channels(parameters: &mut Parameters) -> (i32, String) {
    // SAFETY: live parameters.
    unsafe {
        let layout = &raw mut (*parameters.as_mut_ptr()).ch_layout;
        let name = name_layout(layout);
        ((*layout).nb_channels, name)
    }
}

/// Prepares an encoder of sound: the rate nearest to `rate` that it knows, its first sample format, this layout.
///
/// # Errors
/// When the layout is unknown.
pub(crate) fn set_up_encoder(
    context: &mut codec::Context,
    encoder: ffmpeg_next::Codec,
    rate: i32,
    layout: &str,
    bit_rate: i64,
) -> Result<SoundFormat, Error> {
    let layout_name = CString::new(layout).map_err(|_| Error::InvalidData)?;
    // SAFETY: a live context that is not opened; the encoder's lists are static and end with 0 and -1.
    unsafe {
        let codec = encoder.as_ptr();
        let context = context.as_mut_ptr();
        let mut chosen = rate;
        let mut rates = (*codec).supported_samplerates;
        if !rates.is_null() {
            chosen = 0;
            while *rates != 0 {
                // The smallest that loses nothing, or else the largest.
                let better = if chosen < rate {
                    *rates > chosen
                } else {
                    *rates >= rate && *rates < chosen
                };
                if better {
                    chosen = *rates;
                }
                rates = rates.add(1);
            }
        }
        let formats = (*codec).sample_fmts;
        let format = if formats.is_null() {
            ffi::AVSampleFormat::AV_SAMPLE_FMT_FLTP
        } else {
            *formats
        };
        check(ffi::av_channel_layout_from_string(
            &mut (*context).ch_layout,
            layout_name.as_ptr(),
        ))?;
        (*context).sample_rate = chosen;
        (*context).sample_fmt = format;
        (*context).bit_rate = bit_rate;
        (*context).time_base = ffi::AVRational {
            num: 1,
            den: chosen,
        };
        Ok(SoundFormat {
            samples: text(ffi::av_get_sample_fmt_name(format)),
            rate: chosen,
            layout: layout.to_owned(),
        })
    }
}

/// A graph that brings sound to the form an encoder wants: gaps of more than 0.1 s are filled with silence and
/// overlaps are cut, so that sound stays with the pictures.
pub(crate) struct SoundGraph {
    graph: filter::Graph,
}

impl SoundGraph {
    /// `frame_size`: samples per frame that the encoder insists on, 0 for any.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(crate) fn new(
        from: &SoundFormat,
        time_base: Rational,
        to: &SoundFormat,
        frame_size: u32,
    ) -> Result<Self, Error> {
        let mut graph = filter::Graph::new();
        let source = filter::find("abuffer").ok_or(Error::FilterNotFound)?;
        let sink = filter::find("abuffersink").ok_or(Error::FilterNotFound)?;
        graph.add(
            &source,
            "in",
            &format!(
                "time_base={}/{}:sample_rate={}:sample_fmt={}:channel_layout={}",
                time_base.0, time_base.1, from.rate, from.samples, from.layout
            ),
        )?;
        graph.add(&sink, "out", "")?;
        let filters = format!(
            "aresample=async=1:osr={},aformat=sample_fmts={}:sample_rates={}:channel_layouts={}",
            to.rate, to.samples, to.rate, to.layout
        );
        graph.output("in", 0)?.input("out", 0)?.parse(&filters)?;
        graph.validate()?;
        if frame_size > 0
            && let Some(mut exit) = graph.get("out")
        {
            exit.sink().set_frame_size(frame_size);
        }
        Ok(Self { graph })
    }

    /// Puts a frame in.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(crate) fn push(&mut self, sound: &frame::Audio) -> Result<(), Error> {
        let mut entrance = self.graph.get("in").ok_or(Error::Bug)?;
        entrance.source().add(sound)
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        let mut entrance = self.graph.get("in").ok_or(Error::Bug)?;
        entrance.source().flush()
    }

    /// Takes the next frame and the time base of its time stamp.
    ///
    /// # Errors
    /// FFmpeg's; `EAGAIN` and `Eof` become `None`.
    pub(crate) fn pull(&mut self) -> Result<Option<(frame::Audio, Rational)>, Error> {
        let mut exit = self.graph.get("out").ok_or(Error::Bug)?;
        let mut sink = exit.sink();
        let mut frame = frame::Audio::empty();
        match sink.frame(&mut frame) {
            Ok(()) => Ok(Some((frame, sink.time_base()))),
            Err(
                Error::Eof
                | Error::Other {
                    errno: ffmpeg_next::error::EAGAIN,
                },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
