//! Changing the size and the pixel format of single pictures, by libswscale.

use ffmpeg_next::{
    Error, format::Pixel, frame, software::scaling::Context, software::scaling::Flags,
};

use super::edge;
use crate::frame::Picture;

/// Brings RGB pictures to other sizes. Keeps its tables from picture to picture.
#[derive(Default)]
pub(crate) struct Scaler {
    context: Option<Context>,
    output: Option<frame::Video>,
}

// SAFETY: a scaling context is plain memory, used by one thread at a time through `&mut`.
unsafe impl Send for Scaler {}

impl Scaler {
    /// `picture` at another size, filtered by area so that nothing flickers from aliasing.
    ///
    /// # Errors
    /// FFmpeg's, when memory is short.
    pub(crate) fn scale(
        &mut self,
        picture: &Picture,
        (width, height): (usize, usize),
    ) -> Result<Picture, Error> {
        let input = edge::rgb_frame(picture)?;
        self.convert(&input, Pixel::RGB24, (width, height), Flags::AREA)?;
        self.picture()
    }

    /// A frame of any format as an RGB picture of the same size.
    ///
    /// # Errors
    /// FFmpeg's, when it cannot read the format.
    pub(crate) fn rgb_of(&mut self, input: &frame::Video) -> Result<Picture, Error> {
        let size = (input.width() as usize, input.height() as usize);
        self.convert(
            input,
            Pixel::RGB24,
            size,
            Flags::BILINEAR | Flags::FULL_CHR_H_INP,
        )?;
        self.picture()
    }

    /// A picture in another format and size; the result stays valid until the next call.
    ///
    /// # Errors
    /// FFmpeg's.
    pub(crate) fn reformat(
        &mut self,
        picture: &Picture,
        format: Pixel,
        size: (usize, usize),
    ) -> Result<&frame::Video, Error> {
        let input = edge::rgb_frame(picture)?;
        self.convert(&input, format, size, Flags::BILINEAR)?;
        self.output.as_ref().ok_or(Error::InvalidData)
    }

    /// The result of the last conversion to RGB.
    fn picture(&self) -> Result<Picture, Error> {
        let output = self.output.as_ref().ok_or(Error::InvalidData)?;
        let (width, height) = (output.width() as usize, output.height() as usize);
        Picture::new(width, height, edge::packed_rgb(output)?).map_err(|_| Error::InvalidData)
    }

    fn convert(
        &mut self,
        input: &frame::Video,
        format: Pixel,
        (width, height): (usize, usize),
        flags: Flags,
    ) -> Result<(), Error> {
        let (width, height) = (width as u32, height as u32);
        let fits = self.context.as_ref().is_some_and(|context| {
            let (from, to) = (context.input(), context.output());
            (from.format, from.width, from.height)
                == (input.format(), input.width(), input.height())
                && (to.format, to.width, to.height) == (format, width, height)
        });
        if !fits {
            self.context = Some(Context::get(
                input.format(),
                input.width(),
                input.height(),
                format,
                width,
                height,
                flags,
            )?);
            self.output = None;
        }
        let output = self.output.get_or_insert_with(frame::Video::empty);
        match &mut self.context {
            Some(context) => context.run(input, output),
            None => Err(Error::InvalidData),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_stays_flat_at_every_size() {
        let picture = Picture::new(64, 48, [200, 100, 50].repeat(64 * 48)).unwrap();
        let mut scaler = Scaler::default();
        for size in [(32, 24), (33, 47), (128, 96)] {
            let scaled = scaler.scale(&picture, size).unwrap();
            assert_eq!((scaled.width(), scaled.height()), size);
            for pixel in scaled.rgb().chunks_exact(3) {
                assert!(
                    pixel
                        .iter()
                        .zip([200u8, 100, 50])
                        .all(|(p, e)| p.abs_diff(e) <= 1),
                    "{pixel:?}"
                );
            }
        }
    }
}
