//! A V4L2 output device (v4l2loopback), which other programs read as a camera.
//!
//! Pictures are written as YUYV, the one format that every call program takes, and by plain writes, which never wait for a
//! reader. Output devices that take only buffers (screens, not loopback devices) are refused.
//!
//! v4l2loopback before 0.13 with `exclusive_caps=1` is an output only until something writes to it, and forgets that the
//! writer is gone if that used plain writes: from then on it calls itself neither output nor camera, and no program can
//! write to it any more. It remembers those that have started a stream, so we do (newer versions refuse, which is as
//! good), and a device that another program left in this state is brought back the same way.

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
        time::{Duration, Instant},
    };

    use ffmpeg_next::format::Pixel;
    use v4l::{
        Device, Format, FourCC, buffer,
        capability::Flags,
        format::{Colorspace, FieldOrder, Quantization},
        v4l2::{self, vidioc},
        video::{Output as _, output::Parameters},
    };

    use super::{SinkError, VirtualCamera};
    use crate::{frame::Picture, media::scale::Scaler};

    /// How long the program that wrote to the device has to let go of it: one that was killed is not gone at once.
    const LET_GO: Duration = Duration::from_secs(1);

    pub(super) struct Output {
        path: PathBuf,
        /// The device, and the size of its pictures.
        open: Option<(Device, (usize, usize))>,
        scaler: Scaler,
        bytes: Vec<u8>,
    }

    impl Output {
        pub(super) fn find(path: &Path) -> Result<Self, SinkError> {
            let this = Self {
                path: path.to_owned(),
                open: None,
                scaler: Scaler::default(),
                bytes: Vec::new(),
            };
            let until = Instant::now() + LET_GO;
            loop {
                let device = this.device()?;
                let is = device
                    .query_caps()
                    .map_err(|error| this.failed("it is no video device", &error))?;
                if is.capabilities.contains(Flags::VIDEO_OUTPUT) {
                    return Ok(this);
                }
                let is_loopback = is.driver == LOOPBACK;
                if is_loopback && Instant::now() < until {
                    if !is.capabilities.contains(Flags::VIDEO_CAPTURE) {
                        start_stream(&device);
                    }
                    // Closing it is what it remembers.
                    drop(device);
                    std::thread::sleep(LET_GO / 10);
                    continue;
                }
                let hint = if is_loopback {
                    "another program writes to it, or did and left it in use: close that program and those that read it as a camera"
                } else {
                    "it is a camera and takes no pictures; load v4l2loopback and give its device (see README, \"Live\")"
                };
                return Err(SinkError::Failed(format!("{}: {hint}", path.display())));
            }
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

        fn failed(&self, what: &str, error: &io::Error) -> SinkError {
            SinkError::Failed(format!("{}: {what} ({error})", self.path.display()))
        }
    }

    /// What v4l2loopback calls itself.
    const LOOPBACK: &str = "v4l2 loopback";

    /// Starts a stream of output, so that the driver knows the handle for a writer. See the module's text. It may fail:
    /// drivers that need no telling want buffers first.
    fn start_stream(device: &Device) {
        let mut kind = buffer::Type::VideoOutput as std::ffi::c_int;
        // SAFETY: the handle is open as long as `device` lives, and VIDIOC_STREAMON reads one int, which `kind` is.
        let _ = unsafe {
            v4l2::ioctl(
                device.handle().fd(),
                vidioc::VIDIOC_STREAMON,
                (&raw mut kind).cast(),
            )
        };
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
            start_stream(&device);
            // Not every driver wants to know the rate.
            let _ = device.set_params(&Parameters::with_fps(rate_hz.round() as u32));
            self.open = Some((device, size));
            Ok(())
        }

        fn write(&mut self, picture: &Picture) -> Result<(), SinkError> {
            let Some((device, size)) = &mut self.open else {
                return Err(SinkError::Failed("the virtual camera is not open".into()));
            };
            let size = *size;
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
            device.write_all(&self.bytes).map_err(|error| {
                let what = match error.kind() {
                    ErrorKind::InvalidInput => {
                        "it takes pictures only in buffers; use a v4l2loopback device"
                    }
                    _ => "it takes no more pictures",
                };
                self.failed(what, &error)
            })
        }
    }
}
