//! Pictures in files: PNG, JPEG and WebP in and out, turned upright, in the colours of sRGB, with their transparency.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageDecoder, ImageEncoder, ImageError,
    ImageFormat, ImageReader, Limits, RgbImage,
    codecs::{
        jpeg::JpegEncoder,
        png::{CompressionType, FilterType as PngFilter, PngEncoder},
        webp::WebPEncoder,
    },
    imageops::FilterType,
};

use crate::{
    files::{behind_links, temporary_beside},
    frame::Picture,
    source::Sizing,
    stylize::{MAX_PIXELS, MIN_SIDE},
};

mod bytes;
mod colors;
mod error;

pub use bytes::{ends_early, is_animated};
pub use error::PictureError;

/// JPEG quality, 1..100: at 92 the brush strokes show no blocks.
const JPEG_QUALITY: u8 = 92;

/// A picture with what its file says beside the pixels.
#[derive(Clone, Debug)]
pub struct PictureFile {
    /// The colours, of sRGB; what is transparent stands over white.
    pub picture: Picture,
    /// Opacity of each pixel, 0..255, if any is below 255.
    pub alpha: Option<Vec<u8>>,
}

impl PictureFile {
    /// An opaque picture.
    #[must_use]
    pub fn new(picture: Picture) -> Self {
        Self {
            picture,
            alpha: None,
        }
    }

    /// Reads `path`, turned upright by its EXIF orientation, brought to `size`, 16 bits brought to 8, colours of an ICC
    /// profile to sRGB.
    ///
    /// # Errors
    /// When it cannot be read, takes more than two gigabytes of memory, or is too large or too small to be painted.
    pub fn read(path: &Path, size: Sizing) -> Result<Self, PictureError> {
        let check = |width, height| check_size(path, size, width, height);
        let image = Self::decode(path, MOST_BYTES, check)?;
        let before = (image.width(), image.height());
        let (width, height) = size.apply(before.0 as usize, before.1 as usize);
        let after = (width as u32, height as u32);
        Ok(Self::from_image(image, |image| match before == after {
            true => image,
            false => image.resize_exact(after.0, after.1, FilterType::Lanczos3),
        }))
    }

    /// Reads `path` to be looked at for its style: of any size, brought to 1024 pixels at most, with the mean colour of what is
    /// seen behind what is transparent.
    ///
    /// # Errors
    /// When it cannot be read or takes more than a gigabyte of memory.
    pub fn read_style(path: &Path) -> Result<Self, PictureError> {
        let image = Self::decode(path, MOST_BYTES / 2, |_, _| Ok(()))?;
        let is_large = image.width().max(image.height()) > 1024;
        let mut style = Self::from_image(image, |image| match is_large {
            true => image.thumbnail(1024, 1024),
            false => image,
        });
        style.fill_with_mean();
        Ok(style)
    }

    /// Puts the mean of what is seen, in place of white, behind what is transparent: so it bleaches no style.
    fn fill_with_mean(&mut self) {
        let Some(alpha) = &self.alpha else {
            return;
        };
        let seen: u64 = alpha.iter().map(|&alpha| u64::from(alpha)).sum();
        let mut sums = [0_u64; 3];
        // Over white, a value is alpha · colour + (1 − alpha) · white.
        let pixels = || self.picture.rgb().chunks_exact(3).zip(alpha);
        for (rgb, &alpha) in pixels() {
            for (sum, &value) in sums.iter_mut().zip(rgb) {
                *sum += (255 * u64::from(value)).saturating_sub(255 * u64::from(255 - alpha));
            }
        }
        let mean = sums.map(|sum| (sum / seen.max(1)).min(255) as i32);
        let filled = pixels().flat_map(|(rgb, &alpha)| {
            let through = i32::from(255 - alpha);
            std::array::from_fn::<u8, 3, _>(|i| {
                let value = i32::from(rgb[i]) + (mean[i] - 255) * through / 255;
                value.clamp(0, 255) as u8
            })
        });
        let filled = filled.collect();
        self.picture.replace_rgb(filled);
    }

    /// Whether `path` is a picture as far as its first bytes say.
    ///
    /// # Errors
    /// When it cannot be opened or is none.
    pub fn check_readable(path: &Path) -> Result<(), PictureError> {
        Self::decoder(path, MOST_BYTES).map(|_| ())
    }

    /// The picture in `path`, upright and of sRGB, if it takes no more memory and `check` has nothing against its size.
    fn decode(
        path: &Path,
        most_bytes: u64,
        check: impl FnOnce(usize, usize) -> Result<(), PictureError>,
    ) -> Result<DynamicImage, PictureError> {
        let decode = |source| PictureError::Decode {
            path: path.to_owned(),
            source,
        };
        let mut decoder = Self::decoder(path, most_bytes)?;
        check_bytes(path, &decoder, most_bytes)?;
        let orientation = decoder.orientation().map_err(decode)?;
        let profile = decoder.icc_profile().map_err(decode)?;
        let (width, height) = decoder.dimensions();
        check(width as usize, height as usize)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(decode)?;
        image.apply_orientation(orientation);
        if let Some(profile) = profile {
            colors::bring_to_srgb(&mut image, &profile);
        }
        Ok(image)
    }

    fn decoder(path: &Path, most_bytes: u64) -> Result<impl ImageDecoder, PictureError> {
        let open = |source| PictureError::Open {
            path: path.to_owned(),
            source,
        };
        if path.is_dir() {
            return Err(open(io::Error::new(
                io::ErrorKind::IsADirectory,
                "it is a folder",
            )));
        }
        if path.metadata().is_ok_and(|about| !about.is_file()) {
            return Err(open(io::Error::new(
                io::ErrorKind::NotSeekable,
                "it is a pipe: save it to a file first",
            )));
        }
        let file = BufReader::new(File::open(path).map_err(open)?);
        let mut reader = ImageReader::new(file).with_guessed_format().map_err(open)?;
        let mut limits = Limits::default();
        limits.max_alloc = Some(most_bytes);
        reader.limits(limits);
        reader
            .into_decoder()
            .map_err(|source| PictureError::Decode {
                path: path.to_owned(),
                source,
            })
    }

    /// `image` over white, which `scale` brings to its size: only then, as the colours behind what is transparent are not to
    /// mix with those that are seen.
    fn from_image(image: DynamicImage, scale: impl Fn(DynamicImage) -> DynamicImage) -> Self {
        const FULL: &str = "the image crate fills its pictures";
        let (width, height) = (image.width(), image.height());
        let mut alpha = None;
        let rgb = if image.color().has_alpha() {
            let rgba = image.into_rgba8().into_raw();
            if rgba.chunks_exact(4).any(|pixel| pixel[3] < 255) {
                alpha = Some(rgba.chunks_exact(4).map(|pixel| pixel[3]).collect());
            }
            rgba.chunks_exact(4)
                .flat_map(|p| over_white([p[0], p[1], p[2]], p[3]))
                .collect()
        } else {
            image.into_rgb8().into_raw()
        };
        let rgb = RgbImage::from_raw(width, height, rgb).expect(FULL);
        let rgb = scale(rgb.into()).into_rgb8();
        let alpha = alpha.map(|alpha| {
            let alpha = GrayImage::from_raw(width, height, alpha).expect(FULL);
            scale(alpha.into()).into_luma8().into_raw()
        });
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        let picture = Picture::new(width, height, rgb.into_raw()).expect(FULL);
        Self { picture, alpha }
    }

    /// Writes the picture to `path`, in the format of its extension: first under another name in the same folder, then
    /// renamed. Transparency is kept where the format has it, else flattened over white. Returns what the user should
    /// know.
    ///
    /// # Errors
    /// When the extension is unknown, its format holds no pictures that large, the file exists and `overwrite` is not set, or
    /// writing fails.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<Option<String>, PictureError> {
        let format = writable_format(path)?;
        check_format(path, self.picture.width(), self.picture.height())?;
        if !overwrite && path.exists() {
            return Err(PictureError::Exists(path.to_owned()));
        }
        let io_error = |source| PictureError::Write {
            path: path.to_owned(),
            source,
        };
        let path = &behind_links(path);
        let mut temporary = temporary_beside(path, ".allaprima-", "").map_err(io_error)?;
        let mut out = BufWriter::new(temporary.as_file_mut());
        self.encode(format, &mut out).map_err(|error| match error {
            ImageError::IoError(source) => PictureError::Write {
                path: path.to_owned(),
                source,
            },
            source => PictureError::Encode {
                path: path.to_owned(),
                source,
            },
        })?;
        out.flush().map_err(io_error)?;
        drop(out);
        let persisted = if overwrite {
            temporary.persist(path)
        } else {
            temporary.persist_noclobber(path)
        };
        persisted.map_err(|error| io_error(error.error))?;
        let flattened = format == ImageFormat::Jpeg && self.alpha.is_some();
        Ok(flattened.then(|| {
            format!(
                "{}: JPEG has no transparency, it was flattened over white",
                path.display()
            )
        }))
    }

    fn encode(&self, format: ImageFormat, out: &mut impl Write) -> Result<(), ImageError> {
        let (width, height) = (self.picture.width() as u32, self.picture.height() as u32);
        let with_alpha = self
            .alpha
            .as_ref()
            .filter(|_| format != ImageFormat::Jpeg)
            .map(|alpha| {
                let pixels = self.picture.rgb().chunks_exact(3).zip(alpha);
                pixels
                    .flat_map(|(rgb, &a)| {
                        let [r, g, b] = without_white([rgb[0], rgb[1], rgb[2]], a);
                        [r, g, b, a]
                    })
                    .collect::<Vec<u8>>()
            });
        let (pixels, color): (&[u8], _) = match &with_alpha {
            Some(rgba) => (rgba, ExtendedColorType::Rgba8),
            None => (self.picture.rgb(), ExtendedColorType::Rgb8),
        };
        match format {
            ImageFormat::Png => {
                let encoder =
                    PngEncoder::new_with_quality(out, CompressionType::Fast, PngFilter::Adaptive);
                encoder.write_image(pixels, width, height, color)
            }
            ImageFormat::WebP => {
                WebPEncoder::new_lossless(out).write_image(pixels, width, height, color)
            }
            _ => JpegEncoder::new_with_quality(out, JPEG_QUALITY)
                .write_image(pixels, width, height, color),
        }
    }
}

/// Bytes that a decoded picture may take; twice as many are needed where it is turned.
const MOST_BYTES: u64 = 2 << 30;

/// Whether a path looks like that of a picture.
pub fn is_picture_path(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    ["png", "jpg", "jpeg", "jfif", "webp"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

/// The pictures in a folder, by name; not those of folders in it, nor what a Mac keeps beside pictures (`._photo.jpg`).
///
/// # Errors
/// The system's, when the folder cannot be read.
pub fn pictures_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let beside = name.as_encoded_bytes().starts_with(b"._");
        if !beside && is_picture_path(&path) && path.is_file() {
            pictures.push(path);
        }
    }
    pictures.sort();
    Ok(pictures)
}

/// The format that the extension of `path` stands for, among those that are written.
///
/// # Errors
/// [`PictureError::Extension`] for any other.
pub fn writable_format(path: &Path) -> Result<ImageFormat, PictureError> {
    ImageFormat::from_path(path)
        .ok()
        .filter(|format| {
            matches!(
                format,
                ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP
            )
        })
        .ok_or_else(|| PictureError::Extension(path.to_owned()))
}

/// Refuses an output of a format that holds no pictures of `width` by `height` pixels.
///
/// # Errors
/// [`PictureError::Format`], and [`PictureError::Extension`] for a format that is not written.
pub fn check_format(path: &Path, width: usize, height: usize) -> Result<(), PictureError> {
    let (format, most) = match writable_format(path)? {
        ImageFormat::WebP => ("WebP", 16_383),
        ImageFormat::Jpeg => ("JPEG", 65_535),
        _ => return Ok(()),
    };
    if width.max(height) <= most {
        return Ok(());
    }
    Err(PictureError::Format {
        path: path.to_owned(),
        width,
        height,
        format,
        most,
    })
}

/// Refuses a picture that memory may not hold.
fn check_bytes(
    path: &Path,
    decoder: &impl ImageDecoder,
    most_bytes: u64,
) -> Result<(), PictureError> {
    let (width, height) = decoder.dimensions();
    // In three channels of bytes at least, in the end.
    let rgb = 3 * u64::from(width) * u64::from(height);
    if decoder.total_bytes().max(rgb) <= most_bytes {
        return Ok(());
    }
    Err(PictureError::Memory {
        path: path.to_owned(),
        width,
        height,
        most_mib: most_bytes >> 20,
    })
}

fn check_size(path: &Path, size: Sizing, width: usize, height: usize) -> Result<(), PictureError> {
    let (painted_width, painted_height) = size.apply(width, height);
    if painted_width * painted_height > MAX_PIXELS {
        if matches!(size, Sizing::Exact { .. }) {
            return Err(PictureError::SizeTooLarge {
                width: painted_width,
                height: painted_height,
            });
        }
        let shrink = (MAX_PIXELS as f64 / (painted_width * painted_height) as f64).sqrt();
        let suggestion = (painted_width.max(painted_height) as f64 * shrink) as usize / 64 * 64;
        return Err(PictureError::TooLarge {
            path: path.to_owned(),
            width,
            height,
            suggestion,
        });
    }
    if painted_width.min(painted_height) < MIN_SIDE {
        return Err(PictureError::TooSmall {
            path: path.to_owned(),
            width: painted_width,
            height: painted_height,
            suggestion: large_enough(size, width, height),
        });
    }
    Ok(())
}

/// The longest side from which on a picture is large enough, where only its [`Sizing::MaxSide`] makes it too small.
fn large_enough(size: Sizing, width: usize, height: usize) -> Option<usize> {
    let (short, long) = (width.min(height), width.max(height));
    if !matches!(size, Sizing::MaxSide(_)) || short < MIN_SIDE {
        return None;
    }
    // An even side, of which the other is rounded to one.
    Some(
        (MIN_SIDE * long)
            .div_ceil(short)
            .next_multiple_of(2)
            .min(long),
    )
}

/// What gives `rgb` over white: the nearest colour that does where none does exactly.
fn without_white(rgb: [u8; 3], alpha: u8) -> [u8; 3] {
    if alpha == 0 {
        return rgb;
    }
    let (white, alpha) = (255 * i32::from(255 - alpha), i32::from(alpha));
    rgb.map(|value| ((255 * i32::from(value) - white + alpha / 2) / alpha).clamp(0, 255) as u8)
}

fn over_white(rgb: [u8; 3], alpha: u8) -> [u8; 3] {
    let alpha = u32::from(alpha);
    rgb.map(|c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

#[cfg(test)]
mod tests;
