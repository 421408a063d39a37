//! A V4L2 output device (v4l2loopback), which other programs read as a camera.
//!
//! Pictures are written as YUYV, the one format that every call program takes. Where the driver takes plain writes they
//! are used, since a write never waits for a reader; else buffers are streamed.

use std::path::Path;

use super::{SinkError, VirtualCamera};

/// The virtual camera at `path`. The device is opened with the first picture, when its size is known, but looked at now.
///
/// # Errors
/// When there is no such device, it is no output, or this system has none.
pub fn open_virtual_camera(path: &Path) -> Result<Box<dyn VirtualCamera>, SinkError> {
    #[cfg(all(feature = "camera", target_os = "linux"))]
    return Ok(Box::new(with_v4l::Output::find(path)?));
    #[cfg(not(all(feature = "camera", target_os = "linux")))]
    Err(SinkError::Failed(format!(
        "{}: virtual cameras need Linux and the cargo feature `camera`",
        path.display()
    )))
}

#[cfg(all(feature = "camera", target_os = "linux"))]
mod with_v4l {
    use std::{
        io::{self, ErrorKind, Write},
        path::{Path, PathBuf},
        time::Duration,
    };

    use ffmpeg_next::format::Pixel;
    use v4l::{
        Device, Format, FourCC,
        buffer::Type,
        capability::Flags,
        format::{Colorspace, FieldOrder, Quantization},
        io::traits::OutputStream,
        prelude::MmapStream,
        video::{Output as _, output::Parameters},
    };

    use super::{SinkError, VirtualCamera};
    use crate::{frame::Picture, media::scale::Scaler};

    /// A device that takes no picture for this long is broken.
    const PATIENCE: Duration = Duration::from_millis(1500);

    pub(super) struct Output {
        path: PathBuf,
        open: Option<Open>,
        scaler: Scaler,
        bytes: Vec<u8>,
    }

    enum Open {
        Writing(Device, (usize, usize)),
        /// The stream keeps the device open.
        Streaming(MmapStream<'static>, (usize, usize)),
    }

    impl Output {
        pub(super) fn find(path: &Path) -> Result<Self, SinkError> {
            let this = Self {
                path: path.to_owned(),
                open: None,
                scaler: Scaler::default(),
                bytes: Vec::new(),
            };
            let device = this.device()?;
            let capabilities = device
                .query_caps()
                .map_err(|error| this.failed("it is no video device", &error))?;
            if !capabilities.capabilities.contains(Flags::VIDEO_OUTPUT) {
                let hint = "it is a camera and takes no pictures; load v4l2loopback and give its device (see README, \"Live\")";
                return Err(SinkError::Failed(format!("{}: {hint}", path.display())));
            }
            Ok(this)
        }

        fn device(&self) -> Result<Device, SinkError> {
            Device::with_path(&self.path).map_err(|error| {
                let what = match error.kind() {
                    ErrorKind::NotFound => {
                        "there is no such device; load v4l2loopback (sudo modprobe v4l2loopback exclusive_caps=1), see README, \"Live\""
                    }
                    ErrorKind::PermissionDenied => {
                        "no permission to write to it; join the group that owns it (sudo usermod -aG video $USER, then log in again)"
                    }
                    ErrorKind::ResourceBusy => "another program writes to it; close that program",
                    _ => "it cannot be opened",
                };
                self.failed(what, &error)
            })
        }

        fn stream(&self, device: &Device, size: (usize, usize)) -> Result<Open, SinkError> {
            let mut stream = MmapStream::with_buffers(device, Type::VideoOutput, 3)
                .map_err(|error| self.failed("it gives no buffers", &error))?;
            stream.set_timeout(PATIENCE);
            Ok(Open::Streaming(stream, size))
        }

        /// Hands the bytes to the device.
        fn put(&mut self) -> io::Result<()> {
            match &mut self.open {
                Some(Open::Writing(device, _)) => device.write_all(&self.bytes),
                Some(Open::Streaming(stream, ..)) => {
                    let (buffer, meta) = OutputStream::next(stream)?;
                    let length = self.bytes.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&self.bytes[..length]);
                    meta.bytesused = length as u32;
                    meta.field = 1; // V4L2_FIELD_NONE: progressive
                    Ok(())
                }
                None => Ok(()),
            }
        }

        fn failed(&self, what: &str, error: &io::Error) -> SinkError {
            SinkError::Failed(format!("{}: {what} ({error})", self.path.display()))
        }
    }

    impl VirtualCamera for Output {
        fn name(&self) -> String {
            self.path.display().to_string()
        }

        fn open(&mut self, width: usize, height: usize, rate_hz: f64) -> Result<(), SinkError> {
            let device = self.device()?;
            let mut format = Format::new(width as u32, height as u32, FourCC::new(b"YUYV"));
            format.field_order = FieldOrder::Progressive;
            format.colorspace = Colorspace::SRGB;
            format.quantization = Quantization::LimitedRange;
            format.stride = width as u32 * 2;
            format.size = format.stride * height as u32;
            let got = device
                .set_format(&format)
                .map_err(|error| self.failed("it takes no pictures of this size", &error))?;
            if got.fourcc != format.fourcc {
                return Err(SinkError::Failed(format!(
                    "{}: it takes {} and not YUYV; reload v4l2loopback, or close the program that reads it",
                    self.path.display(),
                    got.fourcc
                )));
            }
            // It may insist on a size of its own (a reader holds it): pictures are stretched to that.
            let size = (got.width as usize, got.height as usize);
            // Not every driver wants to know the rate.
            let _ = device.set_params(&Parameters::with_fps(rate_hz.round() as u32));
            let capabilities = device
                .query_caps()
                .map_err(|error| self.failed("it does not answer", &error))?;
            self.open = Some(if capabilities.capabilities.contains(Flags::READ_WRITE) {
                Open::Writing(device, size)
            } else {
                self.stream(&device, size)?
            });
            Ok(())
        }

        fn write(&mut self, picture: &Picture) -> Result<(), SinkError> {
            let size = match &self.open {
                Some(Open::Writing(_, size) | Open::Streaming(_, size)) => *size,
                None => return Err(SinkError::Failed("the virtual camera is not open".into())),
            };
            let frame = self
                .scaler
                .reformat(picture, Pixel::YUYV422, size)
                .map_err(|error| {
                    SinkError::Failed(format!("converting to YUYV failed: {error}"))
                })?;
            self.bytes.clear();
            let row = size.0 * 2;
            for line in frame.data(0).chunks(frame.stride(0)).take(size.1) {
                self.bytes.extend_from_slice(&line[..row]);
            }
            let result = match self.put() {
                // Some drivers (vivid) promise writes and take only buffers.
                Err(error) if error.kind() == ErrorKind::InvalidInput => match self.open.take() {
                    Some(Open::Writing(device, size)) => {
                        // The attempt holds the queue of the device until it is closed; the format stays.
                        drop(device);
                        self.open = Some(self.stream(&self.device()?, size)?);
                        self.put()
                    }
                    open => {
                        self.open = open;
                        Err(error)
                    }
                },
                result => result,
            };
            result.map_err(|error| self.failed("it takes no more pictures", &error))
        }
    }
}
