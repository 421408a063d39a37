//! What nokhwa says of a camera where there is no Video4Linux.

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
