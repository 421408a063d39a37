//! The FFI edge of subtitles: text of one coding to text of another.

use std::{ffi::CStr, ptr};

use ffmpeg_next::{Error, Packet, Rational, Rescale, codec, codec::Parameters, ffi, packet::Ref};

use super::edge::check;

/// The most bytes that one subtitle may have once it is encoded.
const MAX_BYTES: usize = 64 * 1024;

/// Packets of one coding of text in, packets of another out.
pub(crate) struct WordsTranscoder {
    decoder: codec::Context,
    encoder: codec::Context,
    time_base: Rational,
}

impl WordsTranscoder {
    /// Opens a decoder for the track and the named encoder.
    ///
    /// # Errors
    /// When the subtitles are pictures and not text, or a codec is missing.
    pub(crate) fn open(
        parameters: &Parameters,
        time_base: Rational,
        encoder: &CStr,
    ) -> Result<Self, Error> {
        let mut decoder = codec::Context::from_parameters(parameters.clone())?;
        // SAFETY: both contexts are live and opened once; the header is copied into memory that the encoder owns and
        // frees.
        unsafe {
            let id = (*parameters.as_ptr()).codec_id;
            let about = ffi::avcodec_descriptor_get(id);
            if about.is_null() || (*about).props & ffi::AV_CODEC_PROP_TEXT_SUB == 0 {
                return Err(Error::InvalidData);
            }
            let from = ffi::avcodec_find_decoder(id);
            if from.is_null() {
                return Err(Error::DecoderNotFound);
            }
            let to = ffi::avcodec_find_encoder_by_name(encoder.as_ptr());
            if to.is_null() {
                return Err(Error::EncoderNotFound);
            }
            let opened = decoder.as_mut_ptr();
            (*opened).pkt_timebase = time_base.into();
            check(ffi::avcodec_open2(opened, from, ptr::null_mut()))?;
            let context = ffi::avcodec_alloc_context3(to);
            let mut encoder = codec::Context::wrap(context, None);
            let context = encoder.as_mut_ptr();
            (*context).time_base = ffi::AVRational { num: 1, den: 1000 };
            let size = (*opened).subtitle_header_size;
            if size > 0 && !(*opened).subtitle_header.is_null() {
                let header = ffi::av_mallocz(size as usize + 1).cast::<u8>();
                if !header.is_null() {
                    ptr::copy_nonoverlapping((*opened).subtitle_header, header, size as usize);
                    (*context).subtitle_header = header;
                    (*context).subtitle_header_size = size;
                }
            }
            check(ffi::avcodec_open2(context, to, ptr::null_mut()))?;
            Ok(Self {
                decoder,
                encoder,
                time_base,
            })
        }
    }

    /// The encoder, for the stream's parameters.
    pub(crate) fn encoder(&self) -> &codec::Context {
        &self.encoder
    }

    /// Converts one packet; time stamps of the result are milliseconds. `None` when it shows nothing.
    ///
    /// # Errors
    /// FFmpeg's, when the packet is broken.
    pub(crate) fn convert(&mut self, packet: &Packet) -> Result<Option<Packet>, Error> {
        let Some(pts) = packet.pts().or(packet.dts()) else {
            return Ok(None);
        };
        let mut bytes = vec![0; MAX_BYTES];
        // SAFETY: the subtitle is filled by the decoder and freed on every path; the encoder writes no more than the
        // length it is given.
        unsafe {
            let mut words: ffi::AVSubtitle = std::mem::zeroed();
            let mut got = 0;
            check(ffi::avcodec_decode_subtitle2(
                self.decoder.as_mut_ptr(),
                &mut words,
                &mut got,
                packet.as_ptr().cast_mut(),
            ))?;
            if got == 0 || words.num_rects == 0 {
                ffi::avsubtitle_free(&mut words);
                return Ok(None);
            }
            let begin = i64::from(words.start_display_time);
            let mut millis = i64::from(words.end_display_time) - begin;
            if millis <= 0 || words.end_display_time == u32::MAX {
                millis = packet.duration().rescale(self.time_base, Rational(1, 1000));
            }
            words.start_display_time = 0;
            words.end_display_time = millis.clamp(0, i64::from(u32::MAX)) as u32;
            words.pts = pts.rescale(self.time_base, Rational(1, 1_000_000)) + begin * 1000;
            let length = ffi::avcodec_encode_subtitle(
                self.encoder.as_mut_ptr(),
                bytes.as_mut_ptr(),
                MAX_BYTES as i32,
                &words,
            );
            ffi::avsubtitle_free(&mut words);
            check(length)?;
            if length == 0 {
                return Ok(None);
            }
            let mut converted = Packet::copy(&bytes[..length as usize]);
            let at = pts.rescale(self.time_base, Rational(1, 1000)) + begin;
            converted.set_pts(Some(at));
            converted.set_dts(Some(at));
            converted.set_duration(millis);
            Ok(Some(converted))
        }
    }
}
