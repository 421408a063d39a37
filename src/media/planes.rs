//! Pictures between packed pixels, as everything here has them, and planes of one colour each, as libzimg has them.

use ffmpeg_next::{Error, error::ENOMEM, ffi, format, frame};

use crate::{frame::Picture, kernels::vectorised};

/// Where FFmpeg's `GBRP` keeps red, green and blue.
const PLANES: [usize; 3] = [2, 0, 1];

vectorised! {
    /// Puts a row's pixels together.
    fn pack(planes: [&[u8]; 3], row: &mut [u8]) {
        let [red, green, blue] = planes;
        let pixels = row.as_chunks_mut::<3>().0.iter_mut();
        for (((pixel, red), green), blue) in pixels.zip(red).zip(green).zip(blue) {
            *pixel = [*red, *green, *blue];
        }
    }

    /// Takes a row's pixels apart.
    fn unpack(row: &[u8], planes: [&mut [u8]; 3]) {
        let [red, green, blue] = planes;
        let pixels = row.as_chunks::<3>().0.iter();
        for (((pixel, red), green), blue) in pixels.zip(red).zip(green).zip(blue) {
            [*red, *green, *blue] = *pixel;
        }
    }
}

/// Copies a `GBRP` frame, whose rows may be padded or stand upside down in memory, into one packed buffer.
///
/// # Errors
/// [`Error::InvalidData`] for a frame of another format or without pixels.
pub(super) fn packed(frame: &frame::Video) -> Result<Vec<u8>, Error> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    // SAFETY: only reads plain fields of a live frame.
    let (data, strides) = unsafe { ((*frame.as_ptr()).data, (*frame.as_ptr()).linesize) };
    if frame.format() != format::Pixel::GBRP || PLANES.iter().any(|&plane| data[plane].is_null()) {
        return Err(Error::InvalidData);
    }
    let mut rgb = vec![0; 3 * width * height];
    for (y, row) in rgb.chunks_exact_mut(3 * width).enumerate() {
        // SAFETY: each plane has `height` rows of `width` bytes, `linesize` bytes apart (which may be negative).
        let planes = PLANES.map(|plane| unsafe {
            let first = data[plane].offset(y as isize * strides[plane] as isize);
            std::slice::from_raw_parts(first, width)
        });
        pack(planes, row);
    }
    Ok(rgb)
}

/// A `GBRP` frame with a picture's pixels.
///
/// # Errors
/// When memory is short.
pub(crate) fn frame_of(picture: &Picture) -> Result<frame::Video, Error> {
    let (width, height) = (picture.width(), picture.height());
    let mut frame = frame::Video::new(format::Pixel::GBRP, width as u32, height as u32);
    // SAFETY: only reads plain fields of a live frame.
    let (data, strides) = unsafe { ((*frame.as_ptr()).data, (*frame.as_ptr()).linesize) };
    if PLANES.iter().any(|&plane| data[plane].is_null()) {
        return Err(Error::Other { errno: ENOMEM });
    }
    // SAFETY: the frame is live.
    unsafe { (*frame.as_mut_ptr()).color_range = ffi::AVColorRange::AVCOL_RANGE_JPEG };
    for (y, row) in picture.rgb().chunks_exact(3 * width).enumerate() {
        // SAFETY: three separate planes of `height` rows of at least `width` bytes, of a frame that was just allocated
        // and that nothing else looks at.
        let planes = PLANES.map(|plane| unsafe {
            let first = data[plane].offset(y as isize * strides[plane] as isize);
            std::slice::from_raw_parts_mut(first, width)
        });
        unpack(row, planes);
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_come_back_out_of_planes() {
        for (width, height) in [(1, 1), (67, 3), (128, 2)] {
            let rgb: Vec<u8> = (0..3 * width * height)
                .map(|i| (i * 37 % 251) as u8)
                .collect();
            let picture = Picture::new(width, height, rgb).unwrap();
            let frame = frame_of(&picture).unwrap();
            assert_eq!(packed(&frame).unwrap(), picture.rgb(), "{width}x{height}");
            assert_eq!(frame.data(2)[0], picture.rgb()[0], "red is the third plane");
        }
        let other = frame::Video::new(format::Pixel::RGB24, 8, 8);
        assert!(packed(&other).is_err());
    }
}
