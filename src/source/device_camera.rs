//! Cameras of this machine, by nokhwa.
//!
//! nokhwa streams; what it leaves open is done here. On Linux the device is looked at first: what it really offers
//! (nokhwa rounds frame rates), and why it cannot be opened (nokhwa gives only text). The wanted mode is set before nokhwa
//! opens the device, because nokhwa fails on a device that was left in a format that it does not know.

use super::{CameraError, CameraOpener, modes::CameraWish};

/// The camera that `wanted` means: a number, a device path, or a name or part of it.
///
/// # Errors
/// When the program was built without cameras, or the wish names no format that is understood.
pub fn device_camera(wanted: &str, wish: CameraWish) -> Result<Box<dyn CameraOpener>, CameraError> {
    #[cfg(feature = "camera")]
    return with_nokhwa::opener(wanted, wish);
    #[cfg(not(feature = "camera"))]
    {
        let _ = (wanted, wish);
        Err(CameraError::NotBuilt)
    }
}

/// The cameras of this machine, each with what it offers, one line each.
///
/// # Errors
/// As [`device_camera`].
pub fn cameras() -> Result<Vec<String>, CameraError> {
    #[cfg(feature = "camera")]
    return Ok(with_nokhwa::list());
    #[cfg(not(feature = "camera"))]
    Err(CameraError::NotBuilt)
}

#[cfg(feature = "camera")]
mod with_nokhwa {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    };

    use nokhwa::{
        NokhwaError,
        utils::{
            CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType,
            Resolution,
        },
    };

    use super::{CameraError, CameraOpener, CameraWish};
    use crate::source::{
        Camera, CameraMode, Captured,
        modes::{Decoder, Layout, Mode, candidates, describe},
    };

    #[cfg(not(target_os = "linux"))]
    use super::elsewhere as system;
    #[cfg(target_os = "linux")]
    use super::linux as system;

    /// How many modes are tried before giving up.
    const TRIES: usize = 6;
    /// Torn pictures in a row that are skipped.
    const TORN: usize = 60;

    pub(super) fn opener(
        wanted: &str,
        wish: CameraWish,
    ) -> Result<Box<dyn CameraOpener>, CameraError> {
        if let Some(format) = &wish.format
            && !Layout::ALL
                .iter()
                .any(|layout| layout.name().eq_ignore_ascii_case(format))
        {
            return Err(CameraError::NoMode {
                camera: wanted.into(),
                wanted: format!("--camera-format {format}"),
                offered: "yuyv, nv12, mjpeg, rgb, bgr or gray, as far as the camera has them"
                    .into(),
            });
        }
        Ok(Box::new(Opener {
            wanted: wanted.to_owned(),
            wish,
        }))
    }

    pub(super) fn list() -> Vec<String> {
        system::cameras()
            .into_iter()
            .map(|(number, name)| {
                let offers = match system::modes(number) {
                    Ok(modes) => describe(&modes),
                    Err(error) => error.to_string(),
                };
                format!("{number}: {name}: {offers}")
            })
            .collect()
    }

    struct Opener {
        wanted: String,
        wish: CameraWish,
    }

    impl Opener {
        fn number(&self) -> Result<u32, CameraError> {
            if let Ok(number) = self.wanted.parse() {
                return Ok(number);
            }
            if let Some(number) = system::number_of_path(&self.wanted) {
                return Ok(number);
            }
            let lower = self.wanted.to_lowercase();
            let cameras = system::cameras();
            let named = |exact: bool| {
                cameras.iter().find(|(_, name)| {
                    let name = name.to_lowercase();
                    name == lower || (!exact && name.contains(&lower))
                })
            };
            match named(true).or_else(|| named(false)) {
                Some((number, _)) => Ok(*number),
                None => Err(missing(&self.wanted)),
            }
        }

        fn try_mode(&self, number: u32, mode: Mode) -> Result<DeviceCamera, CameraError> {
            let fail = |error: NokhwaError| classify(&self.wanted, &error.to_string());
            system::prepare(number, mode)
                .map_err(|error| classify(&self.wanted, &error.to_string()))?;
            let format = frame_format(mode.layout);
            let resolution = Resolution::new(mode.width as u32, mode.height as u32);
            let exact = CameraFormat::new(resolution, format, mode.rate_hz.round() as u32);
            let formats = [format];
            let request =
                RequestedFormat::with_formats(RequestedFormatType::Exact(exact), &formats);
            let mut device =
                nokhwa::Camera::new(CameraIndex::Index(number), request).map_err(fail)?;
            device.open_stream().map_err(fail)?;
            let decoder = Decoder::new(mode).map_err(|error| CameraError::Unusable {
                camera: self.wanted.clone(),
                detail: format!("decoding {} is not possible: {error}", mode.layout.name()),
            })?;
            Ok(DeviceCamera {
                name: self.wanted.clone(),
                device: Some(device),
                decoder,
                mode: mode.into(),
            })
        }
    }

    impl CameraOpener for Opener {
        fn name(&self) -> String {
            self.wanted.clone()
        }

        fn open(&mut self) -> Result<Box<dyn Camera>, CameraError> {
            let number = self.number()?;
            let modes = system::modes(number)
                .map_err(|error| classify(&self.wanted, &error.to_string()))?;
            let fitting = candidates(&modes, &self.wish);
            if fitting.is_empty() {
                let size = self
                    .wish
                    .size
                    .map(|(w, h)| format!("--camera-size {w}x{h}"));
                let format = self
                    .wish
                    .format
                    .as_ref()
                    .map(|format| format!("--camera-format {format}"));
                let wanted: Vec<_> = size.into_iter().chain(format).collect();
                return Err(CameraError::NoMode {
                    camera: self.wanted.clone(),
                    wanted: if wanted.is_empty() {
                        "pictures".into()
                    } else {
                        wanted.join(" with ")
                    },
                    offered: describe(&modes),
                });
            }
            let mut first = None;
            for mode in fitting.into_iter().take(TRIES) {
                match self.try_mode(number, mode) {
                    Ok(camera) => return Ok(Box::new(camera)),
                    // Another mode would not help.
                    Err(error) if error.is_recoverable() => return Err(error),
                    Err(error @ CameraError::Denied { .. }) => return Err(error),
                    Err(error) => first = first.or(Some(error)),
                }
            }
            Err(first.unwrap_or_else(|| missing(&self.wanted)))
        }
    }

    struct DeviceCamera {
        name: String,
        device: Option<nokhwa::Camera>,
        decoder: Decoder,
        mode: CameraMode,
    }

    impl Camera for DeviceCamera {
        fn mode(&self) -> &CameraMode {
            &self.mode
        }

        fn next(&mut self) -> Result<Option<Captured>, CameraError> {
            let Some(device) = &mut self.device else {
                return Ok(None);
            };
            for _ in 0..TORN {
                let buffer = device
                    .frame()
                    .map_err(|error| classify(&self.name, &error.to_string()))?;
                let at = captured_at(buffer.capture_timestamp());
                if let Some(picture) = self.decoder.decode(buffer.buffer()) {
                    return Ok(Some(Captured { picture, at }));
                }
            }
            Err(CameraError::Unplugged {
                camera: self.name.clone(),
                detail: "it delivers only torn pictures".into(),
            })
        }
    }

    impl Drop for DeviceCamera {
        fn drop(&mut self) {
            let device = self.device.take();
            // Stopping a stream panics inside when the driver refuses, which a device that fails does.
            let _ = catch_unwind(AssertUnwindSafe(move || drop(device)));
        }
    }

    /// The camera's own time stamp, if it is believable.
    fn captured_at(stamp: Option<Duration>) -> Instant {
        let now = Instant::now();
        let age = stamp.and_then(|stamp| {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
            wall.checked_sub(stamp)
        });
        match age {
            Some(age) if age < Duration::from_secs(1) => now.checked_sub(age).unwrap_or(now),
            _ => now,
        }
    }

    fn frame_format(layout: Layout) -> FrameFormat {
        match layout {
            Layout::Yuyv => FrameFormat::YUYV,
            Layout::Nv12 => FrameFormat::NV12,
            Layout::Mjpeg => FrameFormat::MJPEG,
            Layout::Rgb => FrameFormat::RAWRGB,
            Layout::Bgr => FrameFormat::RAWBGR,
            Layout::Gray => FrameFormat::GRAY,
        }
    }

    fn missing(camera: &str) -> CameraError {
        let cameras = system::cameras();
        let found = if cameras.is_empty() {
            "this machine has none; plug one in, or use --camera test or --camera FILE".into()
        } else {
            let names: Vec<_> = cameras
                .iter()
                .map(|(number, name)| format!("{number} ({name})"))
                .collect();
            format!("there is {}", names.join(", "))
        };
        CameraError::Missing {
            camera: camera.into(),
            found,
        }
    }

    /// What the system's words mean.
    fn classify(camera: &str, text: &str) -> CameraError {
        let camera = camera.to_owned();
        let has = |needles: &[&str]| needles.iter().any(|needle| text.contains(needle));
        if has(&["os error 16)", "busy", "in use"]) {
            CameraError::Busy { camera }
        } else if has(&["os error 13)", "os error 1)", "ermission"]) {
            CameraError::Denied { camera }
        } else if has(&["os error 2)", "os error 6)", "No such file"]) {
            missing(&camera)
        } else if has(&[
            "os error 19)",
            "os error 5)",
            "os error 32)",
            "capture frame",
        ]) {
            CameraError::Unplugged {
                camera,
                detail: text.into(),
            }
        } else {
            CameraError::Unusable {
                camera,
                detail: text.into(),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_drivers_say_is_understood() {
            let class = |text| classify("0", text);
            assert!(matches!(
                class("Could not set device property X: Device or resource busy (os error 16)"),
                CameraError::Busy { .. }
            ));
            assert!(matches!(
                class("Could not capture frame: No such device (os error 19)"),
                CameraError::Unplugged { .. }
            ));
            assert!(matches!(
                class("No such file or directory (os error 2)"),
                CameraError::Missing { .. }
            ));
            assert!(matches!(
                class("Permission denied (os error 13)"),
                CameraError::Denied { .. }
            ));
            assert!(matches!(class("strange"), CameraError::Unusable { .. }));
        }

        #[test]
        fn an_unknown_format_is_wrong_usage_at_once() {
            let wish = CameraWish {
                format: Some("h264".into()),
                ..CameraWish::default()
            };
            assert!(matches!(opener("0", wish), Err(CameraError::NoMode { .. })));
        }
    }
}

#[cfg(all(feature = "camera", target_os = "linux"))]
mod linux {
    use std::{io, path::Path};

    use v4l::{
        Device, Format, FourCC,
        capability::Flags,
        context,
        frameinterval::FrameIntervalEnum,
        framesize::FrameSizeEnum,
        video::{Capture, capture::Parameters},
    };

    use crate::source::modes::{Layout, Mode};

    fn fourcc(layout: Layout) -> FourCC {
        FourCC::new(match layout {
            Layout::Yuyv => b"YUYV",
            Layout::Nv12 => b"NV12",
            Layout::Mjpeg => b"MJPG",
            Layout::Rgb => b"RGB3",
            Layout::Bgr => b"BGR3",
            Layout::Gray => b"GRAY",
        })
    }

    /// Numbers and names of the devices that capture.
    pub(super) fn cameras() -> Vec<(u32, String)> {
        let mut found: Vec<_> = context::enum_devices()
            .iter()
            .filter_map(|node| {
                let device = Device::with_path(node.path()).ok()?;
                let capabilities = device.query_caps().ok()?;
                capabilities
                    .capabilities
                    .contains(Flags::VIDEO_CAPTURE)
                    .then_some((node.index() as u32, capabilities.card))
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// The number of `/dev/video2`, or of a link to it.
    pub(super) fn number_of_path(text: &str) -> Option<u32> {
        let path = Path::new(text);
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let number = real.to_str()?.strip_prefix("/dev/video")?;
        number.parse().ok()
    }

    /// What a device offers, with exact rates.
    pub(super) fn modes(number: u32) -> io::Result<Vec<Mode>> {
        let device = Device::with_path(format!("/dev/video{number}"))?;
        let capabilities = device.query_caps()?;
        if !capabilities.capabilities.contains(Flags::VIDEO_CAPTURE) {
            return Err(io::Error::other(
                "it takes pictures and gives none (`allaprima live --list` lists the cameras)",
            ));
        }
        let offered: Vec<_> = device.enum_formats()?;
        let mut modes = Vec::new();
        for layout in Layout::ALL {
            let code = fourcc(layout);
            if !offered.iter().any(|format| format.fourcc == code) {
                continue;
            }
            for size in device.enum_framesizes(code).unwrap_or_default() {
                let sizes = match size.size {
                    FrameSizeEnum::Discrete(size) => vec![(size.width, size.height)],
                    FrameSizeEnum::Stepwise(range) => [(640, 360), (640, 480), (1280, 720)]
                        .into_iter()
                        .filter(|&(width, height)| {
                            (range.min_width..=range.max_width).contains(&width)
                                && (range.min_height..=range.max_height).contains(&height)
                        })
                        .collect(),
                };
                for (width, height) in sizes {
                    for rate_hz in rates(&device, code, width, height) {
                        modes.push(Mode {
                            layout,
                            width: width as usize,
                            height: height as usize,
                            rate_hz,
                        });
                    }
                }
            }
        }
        Ok(modes)
    }

    /// The rates of a mode that nokhwa can stream: whole numbers.
    fn rates(device: &Device, code: FourCC, width: u32, height: u32) -> Vec<f64> {
        let intervals = device
            .enum_frameintervals(code, width, height)
            .unwrap_or_default();
        let mut rates = Vec::new();
        for interval in intervals {
            match interval.interval {
                FrameIntervalEnum::Discrete(fraction) => {
                    if fraction.numerator > 0 && fraction.denominator % fraction.numerator == 0 {
                        rates.push(f64::from(fraction.denominator / fraction.numerator));
                    }
                }
                FrameIntervalEnum::Stepwise(range) => {
                    let hz = |numerator: u32, denominator: u32| {
                        f64::from(denominator) / f64::from(numerator.max(1))
                    };
                    let slow = hz(range.max.numerator, range.max.denominator);
                    let fast = hz(range.min.numerator, range.min.denominator);
                    rates.extend(
                        [5.0, 10.0, 15.0, 20.0, 24.0, 25.0, 30.0, 60.0]
                            .into_iter()
                            .filter(|rate| (slow..=fast).contains(rate)),
                    );
                }
            }
        }
        // Loopback devices name no rates at all.
        if rates.is_empty()
            && let Ok(parameters) = device.params()
            && parameters.interval.numerator > 0
        {
            let exact = f64::from(parameters.interval.denominator)
                / f64::from(parameters.interval.numerator);
            rates.push(exact.round());
        }
        rates
    }

    /// Brings the device to a mode.
    pub(super) fn prepare(number: u32, mode: Mode) -> io::Result<()> {
        let device = Device::with_path(format!("/dev/video{number}"))?;
        let format = Format::new(mode.width as u32, mode.height as u32, fourcc(mode.layout));
        device.set_format(&format)?;
        device.set_params(&Parameters::with_fps(mode.rate_hz.round() as u32))?;
        Ok(())
    }
}

#[cfg(all(feature = "camera", not(target_os = "linux")))]
mod elsewhere {
    use std::io;

    use nokhwa::{
        pixel_format::RgbFormat,
        utils::{ApiBackend, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType},
    };

    use crate::source::modes::{Layout, Mode};

    pub(super) fn cameras() -> Vec<(u32, String)> {
        let found = nokhwa::query(ApiBackend::Auto).unwrap_or_default();
        let mut cameras: Vec<_> = found
            .iter()
            .filter_map(|info| Some((info.index().as_index().ok()?, info.human_name())))
            .collect();
        cameras.sort_unstable();
        cameras
    }

    pub(super) fn number_of_path(_text: &str) -> Option<u32> {
        None
    }

    pub(super) fn modes(number: u32) -> io::Result<Vec<Mode>> {
        let any = RequestedFormat::new::<RgbFormat>(RequestedFormatType::AbsoluteHighestFrameRate);
        let formats = nokhwa::Camera::new(CameraIndex::Index(number), any)
            .and_then(|mut camera| camera.compatible_camera_formats())
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(formats
            .into_iter()
            .map(|format| Mode {
                layout: match format.format() {
                    FrameFormat::MJPEG => Layout::Mjpeg,
                    FrameFormat::YUYV => Layout::Yuyv,
                    FrameFormat::NV12 => Layout::Nv12,
                    FrameFormat::GRAY => Layout::Gray,
                    FrameFormat::RAWRGB => Layout::Rgb,
                    FrameFormat::RAWBGR => Layout::Bgr,
                },
                width: format.width() as usize,
                height: format.height() as usize,
                rate_hz: f64::from(format.frame_rate()),
            })
            .collect())
    }

    pub(super) fn prepare(_number: u32, _mode: Mode) -> io::Result<()> {
        Ok(())
    }
}
