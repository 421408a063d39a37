//! The FFI edge: the FFmpeg calls and fields that `ffmpeg-next` leaves unwrapped, each behind a safe function.
//!
//! Enumerations that a file can fill with any number (colour tags) are read as plain integers here: a Rust `enum` with
//! a value that it does not list would be undefined behaviour.

use std::{
    ffi::{CStr, CString, c_char},
    path::Path,
    ptr,
};

use ffmpeg_next::{
    Error, Frame, codec,
    error::ENOMEM,
    ffi, format,
    format::{context, stream::Stream},
    frame, packet,
};

use super::planes;
use crate::frame::Picture;

/// `path` as FFmpeg wants it. The `file:` in front keeps names with a colon from being taken for protocols; addresses
/// (`https://...`) are left alone.
pub(crate) fn url_of(path: &Path) -> Result<CString, Error> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let is_address = bytes.windows(3).any(|w| w == b"://") && !path.exists();
    let url = if is_address {
        bytes.to_vec()
    } else {
        [b"file:", bytes].concat()
    };
    CString::new(url).map_err(|_| Error::InvalidData)
}

/// Opens a file for reading, with options of its format, and looks for its streams.
pub(crate) fn open_input(
    url: &CStr,
    words: &[(CString, CString)],
) -> Result<context::Input, Error> {
    let (mut context, mut options) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: `url` and the words are C strings; `context` receives a context that is owned from here on, or stays null on failure;
    // `options` is freed whatever is left in it.
    unsafe {
        for (key, value) in words {
            ffi::av_dict_set(&mut options, key.as_ptr(), value.as_ptr(), 0);
        }
        let opened =
            ffi::avformat_open_input(&mut context, url.as_ptr(), ptr::null(), &mut options);
        ffi::av_dict_free(&mut options);
        check(opened)?;
        let mut input = context::Input::wrap(context);
        check(ffi::avformat_find_stream_info(
            input.as_mut_ptr(),
            ptr::null_mut(),
        ))?;
        Ok(input)
    }
}

/// The short name of the format that was found (`mov,mp4,m4a,3gp,3g2,mj2`).
pub(crate) fn input_format_name(input: &context::Input) -> String {
    // SAFETY: an opened input has an `iformat` with a static name.
    unsafe { text((*(*input.as_ptr()).iformat).name) }
}

/// Whether the format's clock is absolute and may jump (MPEG-TS).
pub(crate) fn has_absolute_clock(input: &context::Input) -> bool {
    // SAFETY: an opened input has an `iformat`.
    unsafe { (*(*input.as_ptr()).iformat).flags & ffi::AVFMT_TS_DISCONT != 0 }
}

/// A C string of FFmpeg's as text; bytes that are not UTF-8 are replaced.
///
/// # Safety
/// `pointer` is null or a C string.
pub(crate) unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(pointer) }
        .to_string_lossy()
        .into_owned()
}

/// # Safety
/// `dictionary` is null or a live dictionary.
unsafe fn pairs(dictionary: *const ffi::AVDictionary) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut entry = ptr::null();
    // SAFETY: the entries live as long as the dictionary, and their texts are copied.
    unsafe {
        loop {
            entry = ffi::av_dict_get(
                dictionary,
                c"".as_ptr(),
                entry,
                ffi::AV_DICT_IGNORE_SUFFIX as _,
            );
            if entry.is_null() {
                return pairs;
            }
            pairs.push((text((*entry).key), text((*entry).value)));
        }
    }
}

/// The tags of a whole file.
pub(crate) fn container_tags(input: &context::Input) -> Vec<(String, String)> {
    // SAFETY: the dictionary belongs to the input.
    unsafe { pairs((*input.as_ptr()).metadata) }
}

/// The tags of a stream.
pub(crate) fn stream_tags(stream: &Stream<'_>) -> Vec<(String, String)> {
    // SAFETY: the dictionary belongs to the stream.
    unsafe { pairs((*stream.as_ptr()).metadata) }
}

/// `AV_DISPOSITION_*` of a stream, all bits.
pub(crate) fn disposition(stream: &Stream<'_>) -> i32 {
    // SAFETY: a live stream.
    unsafe { (*stream.as_ptr()).disposition }
}

/// Whether a stream of data holds what the output gets by other ways: QuickTime's time code, which is also a tag, or the titles of
/// chapters.
pub(crate) fn is_made_anew(stream: &Stream<'_>) -> bool {
    // SAFETY: a live stream has parameters.
    let tag = unsafe { (*(*stream.as_ptr()).codecpar).codec_tag };
    [*b"tmcd", *b"text"].map(u32::from_le_bytes).contains(&tag)
}

/// The chapters of a file: start and end in seconds, and title.
pub(crate) fn chapters(input: &context::Input) -> Vec<(f64, f64, String)> {
    input
        .chapters()
        .map(|chapter| {
            let unit = f64::from(chapter.time_base());
            // SAFETY: the dictionary belongs to the chapter.
            let tags = unsafe { pairs((*chapter.as_ptr()).metadata) };
            let title = tags.into_iter().find(|(key, _)| key == "title");
            (
                chapter.start() as f64 * unit,
                chapter.end() as f64 * unit,
                title.map(|(_, value)| value).unwrap_or_default(),
            )
        })
        .collect()
}

/// Tells the demuxer not to return this stream's packets.
pub(crate) fn discard(input: &mut context::Input, index: usize) {
    if let Some(mut stream) = input.stream_mut(index) {
        // SAFETY: a live stream; the field may be set at any time.
        unsafe { (*stream.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL }
    }
}

/// The time stamp of the first packet of a stream, where the file's index tells.
pub(crate) fn first_stamp(input: &mut context::Input, index: usize) -> Option<i64> {
    // SAFETY: a live stream; the entry is read before the input is used again.
    unsafe {
        let stream = input.stream_mut(index)?.as_mut_ptr();
        let entry = ffi::avformat_index_get_entry(stream, 0);
        (!entry.is_null()).then(|| (*entry).timestamp)
    }
}

/// A stream's pixel aspect ratio, weighed between container and codec as FFmpeg does; `None` when square or unknown.
pub(crate) fn pixel_aspect(
    input: &mut context::Input,
    index: usize,
    decoded: &mut frame::Video,
) -> Option<(u32, u32)> {
    // SAFETY: stream and frame are live; the call only reads.
    let ratio = unsafe {
        let stream = input.stream_mut(index)?.as_mut_ptr();
        ffi::av_guess_sample_aspect_ratio(input.as_mut_ptr(), stream, decoded.as_mut_ptr())
    };
    (ratio.num > 0 && ratio.den > 0 && ratio.num != ratio.den)
        .then_some((ratio.num as u32, ratio.den as u32))
}

/// The pixel aspect ratio that a frame has written in it, if any.
pub(crate) fn frame_aspect(decoded: &frame::Video) -> Option<(u32, u32)> {
    let ratio = decoded.aspect_ratio();
    (ratio.0 > 0 && ratio.1 > 0).then_some((ratio.0 as u32, ratio.1 as u32))
}

/// The 3x3 display matrix of a stream, or else of its first frame (16.16 fixed point).
pub(crate) fn display_matrix(stream: &Stream<'_>, decoded: &frame::Video) -> Option<[i32; 9]> {
    let of_stream = stream
        .side_data()
        .find(|side| side.kind() == packet::side_data::Type::DisplayMatrix)
        .and_then(|side| nine_numbers(side.data()));
    let of_frame = || {
        decoded
            .side_data(frame::side_data::Type::DisplayMatrix)
            .and_then(|side| nine_numbers(side.data()))
    };
    of_stream.or_else(of_frame)
}

fn nine_numbers(bytes: &[u8]) -> Option<[i32; 9]> {
    let (words, _) = bytes.as_chunks::<4>();
    let numbers: Vec<i32> = words
        .iter()
        .take(9)
        .map(|word| i32::from_ne_bytes(*word))
        .collect();
    numbers.try_into().ok()
}

/// The colour tags of a frame, as FFmpeg's numbers (which are those of ITU-T H.273).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColourTags {
    /// `AVColorSpace`: 0 RGB, 1 BT.709, 5 and 6 BT.601, 9 and 10 BT.2020, 2 unspecified.
    pub(crate) matrix: u32,
    /// `AVColorRange`: 1 limited, 2 full, 0 unspecified.
    pub(crate) range: u32,
    /// `AVColorPrimaries`: 1 BT.709, 9 BT.2020.
    pub(crate) primaries: u32,
    /// `AVColorTransferCharacteristic`: 16 PQ, 18 HLG.
    pub(crate) transfer: u32,
    /// `AVChromaLocation`: 1 left, 2 the middle of its pixels, 0 unspecified.
    pub(crate) location: u32,
}

/// Reads the colour tags of a frame.
pub(crate) fn colour_tags(decoded: &frame::Video) -> ColourTags {
    // SAFETY: a live frame; the fields are 32-bit enumerations, read as integers because a file can put any number there.
    unsafe {
        let frame = decoded.as_ptr();
        ColourTags {
            matrix: (&raw const (*frame).colorspace).cast::<u32>().read(),
            range: (&raw const (*frame).color_range).cast::<u32>().read(),
            primaries: (&raw const (*frame).color_primaries).cast::<u32>().read(),
            transfer: (&raw const (*frame).color_trc).cast::<u32>().read(),
            location: (&raw const (*frame).chroma_location).cast::<u32>().read(),
        }
    }
}

/// What is known of a pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PixelFormat {
    /// FFmpeg's number.
    pub(crate) number: i32,
    /// It carries an alpha plane (or an alpha palette).
    pub(crate) alpha: bool,
    /// Its samples are R, G, B (so that no matrix applies).
    pub(crate) rgb: bool,
    /// One plane of luminance only.
    pub(crate) grey: bool,
    /// One of the `yuvj` formats, which mean full range.
    pub(crate) full_range: bool,
    /// Frames live on a device.
    pub(crate) hardware: bool,
    /// Three planes of luma and colour as libzimg takes them, whose samples of colour cover that many pixels across and
    /// down, as powers of two.
    pub(crate) zimg: Option<[u32; 2]>,
}

/// Describes the pixel format of a frame; `None` when the frame has none.
pub(crate) fn pixel_format(decoded: &frame::Video) -> Option<PixelFormat> {
    // SAFETY: the descriptor is static; numbers outside the known formats give null, and the number is never made an
    // `enum` value before that was checked.
    unsafe {
        let number = (*decoded.as_ptr()).format;
        if !(0..ffi::AVPixelFormat::AV_PIX_FMT_NB as i32).contains(&number) {
            return None;
        }
        let descriptor = ffi::av_pix_fmt_desc_get(decoded.format().into());
        if descriptor.is_null() {
            return None;
        }
        let flags = (*descriptor).flags;
        let has = |flag| flags & u64::from(flag as u32) != 0;
        Some(PixelFormat {
            number,
            alpha: has(ffi::AV_PIX_FMT_FLAG_ALPHA),
            rgb: has(ffi::AV_PIX_FMT_FLAG_RGB) || has(ffi::AV_PIX_FMT_FLAG_PAL),
            grey: (*descriptor).nb_components <= 2,
            full_range: text((*descriptor).name).starts_with("yuvj"),
            hardware: has(ffi::AV_PIX_FMT_FLAG_HWACCEL),
            zimg: is_zimg(&text((*descriptor).name)).then(|| {
                [
                    u32::from((*descriptor).log2_chroma_w),
                    u32::from((*descriptor).log2_chroma_h),
                ]
            }),
        })
    }
}

/// Whether libzimg takes pixels of this format as they are. In front of all others FFmpeg inserts a conversion of its own,
/// which brings full range to limited range unasked.
fn is_zimg(name: &str) -> bool {
    let name = name
        .strip_suffix(if cfg!(target_endian = "big") {
            "be"
        } else {
            "le"
        })
        .unwrap_or(name);
    let bits = [
        "yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p",
    ]
    .iter()
    .find_map(|planes| name.strip_prefix(planes));
    bits.is_some_and(|bits| ["", "9", "10", "12", "14", "16"].contains(&bits))
}

/// Whether any pixel of a frame with an alpha channel (or palette) is not fully opaque.
pub(crate) fn is_see_through(decoded: &frame::Video) -> bool {
    // SAFETY: the descriptor is static and describes this live frame; only the rows and columns that the frame has are
    // read. Line sizes may be negative, so that rows are reached by pointer arithmetic.
    unsafe {
        if pixel_format(decoded).is_none_or(|format| !format.alpha) {
            return false;
        }
        let frame = decoded.as_ptr();
        let descriptor = ffi::av_pix_fmt_desc_get(decoded.format().into());
        if (*descriptor).flags & u64::from(ffi::AV_PIX_FMT_FLAG_PAL as u32) != 0 {
            // 256 colours of native 32-bit ARGB.
            let palette = (*frame).data[1].cast::<u32>();
            return !palette.is_null()
                && (0..256).any(|at| palette.add(at).read_unaligned() >> 24 != 255);
        }
        let alpha = (*descriptor).comp[usize::from((*descriptor).nb_components) - 1];
        let bytes = if alpha.depth > 8 { 2 } else { 1 };
        let whole = (1u32 << alpha.depth.min(16)) - 1;
        let plane = (*frame).data[alpha.plane as usize];
        let stride = (*frame).linesize[alpha.plane as usize] as isize;
        if plane.is_null() || alpha.depth > 16 {
            return true;
        }
        (0..(*frame).height as isize).any(|y| {
            let row = plane.offset(y * stride).add(alpha.offset as usize);
            (0..(*frame).width as usize).any(|x| {
                let at = row.add(x * alpha.step as usize);
                let value = if bytes == 2 {
                    let two = at.cast::<u16>().read_unaligned();
                    let big = (*descriptor).flags & u64::from(ffi::AV_PIX_FMT_FLAG_BE as u32) != 0;
                    u32::from(if big { u16::from_be(two) } else { two })
                } else {
                    u32::from(at.read())
                };
                (value >> alpha.shift) & whole != whole
            })
        })
    }
}

/// How long the decoder says a frame is shown, in the stream's time base; 0 when it does not say.
pub(crate) fn duration(decoded: &Frame) -> i64 {
    decoded.packet().duration.max(0)
}

/// The best frame rate a stream can name.
pub(crate) fn frame_rate(
    input: &mut context::Input,
    index: usize,
) -> Option<ffmpeg_next::Rational> {
    // SAFETY: a live stream; a null frame is allowed.
    let rate = unsafe {
        let stream = input.stream_mut(index)?.as_mut_ptr();
        ffi::av_guess_frame_rate(input.as_mut_ptr(), stream, ptr::null_mut())
    };
    (rate.num > 0 && rate.den > 0).then_some(ffmpeg_next::Rational(rate.num, rate.den))
}

/// Stored width and height of a video stream as its header says, in pixels.
pub(crate) fn stored_size(stream: &Stream<'_>) -> (i64, i64) {
    // SAFETY: a live stream has codec parameters.
    unsafe {
        let parameters = (*stream.as_ptr()).codecpar;
        (
            i64::from((*parameters).width),
            i64::from((*parameters).height),
        )
    }
}

/// How many threads a codec may use; frames and slices both where the codec can.
pub(crate) fn set_threads(context: &mut codec::Context, threads: usize) {
    // SAFETY: a live context that is not opened yet.
    unsafe {
        let context = context.as_mut_ptr();
        (*context).thread_count = threads.max(1) as i32;
        (*context).thread_type = ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE;
    }
}

/// Whether the duration was only guessed from the bit rate.
pub(crate) fn duration_is_guessed(input: &context::Input) -> bool {
    // SAFETY: a live input.
    unsafe {
        (*input.as_ptr()).duration_estimation_method
            == ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_BITRATE
    }
}

/// Goes to the last key frame at or before `timestamp`, counted in the time base of stream `index`.
pub(crate) fn seek_before(
    input: &mut context::Input,
    index: usize,
    timestamp: i64,
) -> Result<(), Error> {
    // SAFETY: a live input and one of its streams.
    unsafe {
        check(ffi::avformat_seek_file(
            input.as_mut_ptr(),
            index as i32,
            i64::MIN,
            timestamp,
            timestamp,
            0,
        ))
    }
}

/// Turns FFmpeg's negative numbers into errors.
pub(crate) fn check(code: i32) -> Result<(), Error> {
    if code < 0 {
        Err(Error::from(code))
    } else {
        Ok(())
    }
}

/// Copies a frame of packed RGB or of planes (`GBRP`), whose rows may be padded or stand upside down in memory, into one
/// packed buffer.
///
/// # Errors
/// FFmpeg's, when the frame is of another format or has no size.
pub(crate) fn packed_rgb(frame: &frame::Video) -> Result<Vec<u8>, Error> {
    if frame.format() == format::Pixel::GBRP {
        return planes::packed(frame);
    }
    if frame.format() != format::Pixel::RGB24 {
        return Err(Error::InvalidData);
    }
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut rgb = vec![0; width * height * 3];
    // SAFETY: planes and line sizes belong to the same live frame, and the call writes no more than the length it is
    // given.
    unsafe {
        let source = frame.as_ptr();
        check(ffi::av_image_copy_to_buffer(
            rgb.as_mut_ptr(),
            rgb.len() as i32,
            (&raw const (*source).data).cast(),
            (&raw const (*source).linesize).cast(),
            ffi::AVPixelFormat::AV_PIX_FMT_RGB24,
            (*source).width,
            (*source).height,
            1,
        ))?;
    }
    Ok(rgb)
}

/// An RGB24 frame with a picture's pixels.
///
/// # Errors
/// When memory is short.
pub(crate) fn rgb_frame(picture: &Picture) -> Result<frame::Video, Error> {
    let (width, height) = (picture.width(), picture.height());
    let mut frame = frame::Video::new(format::Pixel::RGB24, width as u32, height as u32);
    // SAFETY: only looks whether the pixels were allocated.
    if unsafe { (*frame.as_ptr()).data[0].is_null() } {
        return Err(Error::Other { errno: ENOMEM });
    }
    let stride = frame.stride(0);
    let rows = frame.data_mut(0).chunks_exact_mut(stride);
    for (to, from) in rows.zip(picture.rgb().chunks_exact(width * 3)) {
        to[..width * 3].copy_from_slice(from);
    }
    Ok(frame)
}

/// Tells an encoder what its pixels mean: RGB, or BT.709 of limited range.
pub(crate) fn tag_colours(context: &mut codec::Context, rgb: bool) {
    // SAFETY: a live context that is not opened yet.
    unsafe {
        let context = context.as_mut_ptr();
        (*context).color_primaries = ffi::AVColorPrimaries::AVCOL_PRI_BT709;
        (*context).color_trc = ffi::AVColorTransferCharacteristic::AVCOL_TRC_BT709;
        if rgb {
            (*context).colorspace = ffi::AVColorSpace::AVCOL_SPC_RGB;
            (*context).color_range = ffi::AVColorRange::AVCOL_RANGE_JPEG;
        } else {
            (*context).colorspace = ffi::AVColorSpace::AVCOL_SPC_BT709;
            (*context).color_range = ffi::AVColorRange::AVCOL_RANGE_MPEG;
            (*context).chroma_sample_location = ffi::AVChromaLocation::AVCHROMA_LOC_LEFT;
        }
    }
}
