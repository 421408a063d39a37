//! Writing a container: the second half of the FFI edge.
//!
//! A [`Muxer`] is used in one order: streams, tags and chapters are added, [`Muxer::start`] writes the header (after
//! which the container has chosen its own time bases), packets are written, [`Muxer::finish`] completes the file.
//! FFmpeg keeps a failed write (a full disk) in the output's state and may only mention it later, so that state is
//! looked at after every packet.

use std::{
    ffi::{CStr, CString},
    ptr,
};

use ffmpeg_next::{
    Error, Packet, Rational, codec,
    codec::Parameters,
    error::ENOMEM,
    ffi,
    format::context,
    packet::{Mut, Ref},
};

use super::{edge::check, sound};

/// A container that is being written.
pub(crate) struct Muxer {
    output: context::Output,
}

/// What a stream is to be, beside how it is coded.
pub(crate) struct StreamSettings<'a> {
    pub(crate) time_base: Rational,
    pub(crate) frame_rate: Option<Rational>,
    pub(crate) metadata: &'a [(String, String)],
    pub(crate) disposition: i32,
    /// A four-character code to insist on; otherwise the container chooses.
    pub(crate) tag: Option<[u8; 4]>,
}

impl Muxer {
    /// Opens `url` for writing in the named format.
    ///
    /// # Errors
    /// FFmpeg's, when the format is missing or the file cannot be written.
    pub(crate) fn create(url: &CStr, format: &CStr) -> Result<Self, Error> {
        let mut context = ptr::null_mut();
        // SAFETY: both names are C strings; the context is owned by the wrapper from its creation on, which closes the
        // file that is opened next.
        unsafe {
            check(ffi::avformat_alloc_output_context2(
                &mut context,
                ptr::null(),
                format.as_ptr(),
                url.as_ptr(),
            ))?;
            let output = context::Output::wrap(context);
            check(ffi::avio_open(
                &mut (*context).pb,
                url.as_ptr(),
                ffi::AVIO_FLAG_WRITE,
            ))?;
            Ok(Self { output })
        }
    }

    /// Whether codecs must put their headers into the container's.
    pub(crate) fn wants_global_header(&self) -> bool {
        // SAFETY: a live context has an output format.
        unsafe { (*(*self.output.as_ptr()).oformat).flags & ffi::AVFMT_GLOBALHEADER != 0 }
    }

    /// Adds a stream and returns its number.
    ///
    /// # Errors
    /// When memory is short.
    pub(crate) fn add_stream(
        &mut self,
        parameters: &Parameters,
        settings: &StreamSettings<'_>,
    ) -> Result<usize, Error> {
        // SAFETY: the new stream belongs to the live context; parameters and tags are copied.
        unsafe {
            let stream = ffi::avformat_new_stream(self.output.as_mut_ptr(), ptr::null());
            if stream.is_null() {
                return Err(Error::Other { errno: ENOMEM });
            }
            check(ffi::avcodec_parameters_copy(
                (*stream).codecpar,
                parameters.as_ptr(),
            ))?;
            (*(*stream).codecpar).codec_tag = settings.tag.map_or(0, u32::from_le_bytes);
            (*stream).time_base = settings.time_base.into();
            (*stream).disposition = settings.disposition;
            if let Some(rate) = settings.frame_rate {
                (*stream).avg_frame_rate = rate.into();
                (*stream).r_frame_rate = rate.into();
            }
            set_tags(&mut (*stream).metadata, settings.metadata)?;
            Ok((*stream).index as usize)
        }
    }

    /// Sets the tags of the whole file.
    ///
    /// # Errors
    /// When memory is short.
    pub(crate) fn set_tags(&mut self, tags: &[(String, String)]) -> Result<(), Error> {
        // SAFETY: the dictionary belongs to the live context.
        unsafe { set_tags(&mut (*self.output.as_mut_ptr()).metadata, tags) }
    }

    /// Adds a chapter; times in milliseconds.
    ///
    /// # Errors
    /// When it ends before it starts, or memory is short.
    pub(crate) fn add_chapter(
        &mut self,
        number: usize,
        start_millis: i64,
        end_millis: i64,
        title: &str,
    ) -> Result<(), Error> {
        // A text with a zero byte in it would end there.
        let title = title.replace('\0', "");
        self.output
            .add_chapter(
                number as i64,
                Rational(1, 1000),
                start_millis,
                end_millis,
                title,
            )
            .map(|_| ())
    }

    /// Writes the header.
    ///
    /// # Errors
    /// FFmpeg's, when the container does not take one of the streams, or cannot be written.
    pub(crate) fn start(&mut self, options: &[(&CStr, CString)]) -> Result<(), Error> {
        // SAFETY: the options are copied into a dictionary that is freed here.
        unsafe {
            let mut dictionary = ptr::null_mut();
            for (key, value) in options {
                check(ffi::av_dict_set(
                    &mut dictionary,
                    key.as_ptr(),
                    value.as_ptr(),
                    0,
                ))?;
            }
            let code = ffi::avformat_write_header(self.output.as_mut_ptr(), &mut dictionary);
            ffi::av_dict_free(&mut dictionary);
            check(code)
        }
    }

    /// Seconds per unit of a stream's time stamps; chosen by the container, valid after [`Muxer::start`].
    pub(crate) fn time_base(&self, stream: usize) -> Rational {
        self.output
            .stream(stream)
            .map_or(Rational(1, 1), |stream| stream.time_base())
    }

    /// Whether time stamps need only not fall (they may repeat).
    pub(crate) fn allows_equal_stamps(&self) -> bool {
        // SAFETY: a live context has an output format.
        unsafe { (*(*self.output.as_ptr()).oformat).flags & ffi::AVFMT_TS_NONSTRICT != 0 }
    }

    /// Writes a packet, whose stream number and time stamps are the container's, in order among all streams.
    ///
    /// # Errors
    /// [`WriteError::Refused`] when the container does not like this packet, [`WriteError::Output`] when the file can
    /// no longer be written.
    pub(crate) fn write(&mut self, packet: &mut Packet) -> Result<(), WriteError> {
        packet.set_position(-1);
        // SAFETY: packet and context are live; the packet's content is moved out of it.
        let code = unsafe {
            ffi::av_interleaved_write_frame(self.output.as_mut_ptr(), packet.as_mut_ptr())
        };
        self.output_state()?;
        check(code).map_err(|error| match error {
            Error::Other { errno } if is_disk_error(errno) => WriteError::Output(error),
            error => WriteError::Refused(error),
        })
    }

    /// A failed write that FFmpeg remembers.
    fn output_state(&self) -> Result<(), WriteError> {
        // SAFETY: a live context with an open output.
        let code = unsafe {
            let io = (*self.output.as_ptr()).pb;
            if io.is_null() { 0 } else { (*io).error }
        };
        check(code).map_err(WriteError::Output)
    }

    /// Completes the file and closes it.
    ///
    /// # Errors
    /// [`WriteError::Output`].
    pub(crate) fn finish(mut self) -> Result<(), WriteError> {
        self.output.write_trailer().map_err(WriteError::Output)?;
        // SAFETY: a live context with an open output.
        unsafe {
            let io = (*self.output.as_ptr()).pb;
            if !io.is_null() {
                ffi::avio_flush(io);
            }
        }
        self.output_state()?;
        // SAFETY: closing here tells whether it succeeded, and sets the pointer to null, which closing again accepts.
        let code = unsafe { ffi::avio_closep(&mut (*self.output.as_mut_ptr()).pb) };
        check(code).map_err(WriteError::Output)
    }
}

fn is_disk_error(errno: i32) -> bool {
    use ffmpeg_next::error::{EFBIG, EIO, ENOSPC, EROFS};
    [ENOSPC, EIO, EFBIG, EROFS].contains(&errno)
}

/// Why a packet was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The container does not take this packet; others may follow.
    Refused(Error),
    /// The file can no longer be written.
    Output(Error),
}

/// # Safety
/// `dictionary` is null or a live dictionary that may be changed.
unsafe fn set_tags(
    dictionary: &mut *mut ffi::AVDictionary,
    tags: &[(String, String)],
) -> Result<(), Error> {
    for (key, value) in tags {
        let (Ok(key), Ok(value)) = (CString::new(key.as_str()), CString::new(value.as_str()))
        else {
            continue;
        };
        // SAFETY: the caller's promise; key and value are copied.
        unsafe {
            check(ffi::av_dict_set(
                dictionary,
                key.as_ptr(),
                value.as_ptr(),
                0,
            ))?;
        }
    }
    Ok(())
}

/// Whether a container takes packets of this kind as they are. The container itself is asked: a header with this one
/// stream is written to memory.
pub(crate) fn takes(format: &CStr, parameters: &Parameters, time_base: Rational) -> bool {
    trial_header(format, parameters, time_base).is_some()
}

/// Whether the muxer of this format writes the delay of every sound codec and moves the time stamps by it. FFmpeg
/// before 6.1 writes it for Opus only, and leaves the moving to the caller.
pub(crate) fn moves_by_codec_delay(format: &CStr) -> bool {
    const CODEC_DELAY: [u8; 2] = [0x56, 0xaa];
    let mut parameters = Parameters::new();
    parameters.set_medium(ffmpeg_next::media::Type::Audio);
    parameters.set_id(codec::Id::MP3);
    sound::set_up_trial(&mut parameters);
    trial_header(format, &parameters, Rational(1, 1000))
        .is_some_and(|header| header.windows(2).any(|bytes| bytes == CODEC_DELAY))
}

/// The header that a container with one stream would have; `None` when the container does not take the stream.
fn trial_header(format: &CStr, parameters: &Parameters, time_base: Rational) -> Option<Vec<u8>> {
    // SAFETY: everything made here is freed here; the format is static.
    unsafe {
        let output = ffi::av_guess_format(format.as_ptr(), ptr::null(), ptr::null());
        if output.is_null() {
            return None;
        }
        let id = (*parameters.as_ptr()).codec_id;
        if ffi::avformat_query_codec(output, id, ffi::FF_COMPLIANCE_NORMAL) == 0 {
            return None;
        }
        let mut context = ptr::null_mut();
        if ffi::avformat_alloc_output_context2(&mut context, output, ptr::null(), ptr::null()) < 0 {
            return None;
        }
        let mut header = None;
        let stream = ffi::avformat_new_stream(context, ptr::null());
        if !stream.is_null()
            && ffi::avcodec_parameters_copy((*stream).codecpar, parameters.as_ptr()) >= 0
            && ffi::avio_open_dyn_buf(&mut (*context).pb) >= 0
        {
            (*(*stream).codecpar).codec_tag = 0;
            (*stream).time_base = time_base.into();
            let taken = ffi::avformat_write_header(context, ptr::null_mut()) >= 0;
            let mut bytes = ptr::null_mut();
            let length = ffi::avio_close_dyn_buf((*context).pb, &mut bytes);
            (*context).pb = ptr::null_mut();
            if taken && !bytes.is_null() {
                let length = usize::try_from(length).unwrap_or(0);
                header = Some(std::slice::from_raw_parts(bytes, length).to_vec());
            }
            ffi::av_free(bytes.cast());
        }
        ffi::avformat_free_context(context);
        header
    }
}

/// The parameters that describe an opened encoder's packets.
pub(crate) fn parameters_of(context: &codec::Context) -> Result<Parameters, Error> {
    let mut parameters = Parameters::new();
    // SAFETY: both are live.
    unsafe {
        check(ffi::avcodec_parameters_from_context(
            parameters.as_mut_ptr(),
            context.as_ptr(),
        ))?;
    }
    Ok(parameters)
}

/// Whether a packet holds neither data nor side data.
pub(crate) fn is_hollow(packet: &Packet) -> bool {
    // SAFETY: a live packet.
    unsafe { (*packet.as_ptr()).size == 0 && (*packet.as_ptr()).side_data_elems == 0 }
}

/// Whether an edit list of the input hides this packet: it is decoded and not shown.
pub(crate) fn is_hidden(packet: &Packet) -> bool {
    // SAFETY: a live packet.
    unsafe { (*packet.as_ptr()).flags & ffi::AV_PKT_FLAG_DISCARD != 0 }
}
