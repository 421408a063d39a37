//! The colours of a file's ICC profile, brought to those of sRGB, which the networks have learned from and which are shown
//! where a file has no profile.

use image::DynamicImage;
use moxcms::{CmsError, ColorProfile, DataColorSpace, Layout, TransformExecutor, TransformOptions};

/// By how much (of 255) a profile changes values at most that is sRGB but for rounding.
const ROUNDING: u8 = 1;

/// Values that are converted at a time, of each channel.
const CHUNK: usize = 1 << 14;

/// Converts `image` from the colours of `profile`. It stays as it is where they are those of sRGB, and where the profile
/// cannot be read or is not of RGB: pictures of grey and of CMYK are read as RGB, which their profiles say nothing about.
pub(super) fn bring_to_srgb(image: &mut DynamicImage, profile: &[u8]) {
    let Ok(profile) = ColorProfile::new_from_slice(profile) else {
        return;
    };
    if profile.color_space == DataColorSpace::Rgb && !is_srgb(&profile).unwrap_or(true) {
        // What cannot be converted is shown as it is, too, by programs that know no profiles.
        let _ = convert(image, &profile);
    }
}

/// Whether a cube of colours stays as it is.
fn is_srgb(profile: &ColorProfile) -> Result<bool, CmsError> {
    let steps = || (0..=255).step_by(15);
    let cube = steps().flat_map(|r| steps().flat_map(move |g| steps().map(move |b| [r, g, b])));
    let cube: Vec<u8> = cube.flatten().collect();
    let mut converted = cube.clone();
    convert_values(
        &mut converted,
        3,
        &*profile.create_transform_8bit(
            Layout::Rgb,
            &ColorProfile::new_srgb(),
            Layout::Rgb,
            TransformOptions::default(),
        )?,
    )?;
    let mut pairs = cube.iter().zip(&converted);
    Ok(pairs.all(|(before, after)| before.abs_diff(*after) <= ROUNDING))
}

fn convert(image: &mut DynamicImage, from: &ColorProfile) -> Result<(), CmsError> {
    let (to, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let of_bytes = |layout| from.create_transform_8bit(layout, &to, layout, options);
    let of_words = |layout| from.create_transform_16bit(layout, &to, layout, options);
    match image {
        DynamicImage::ImageRgb8(image) => convert_values(image, 3, &*of_bytes(Layout::Rgb)?),
        DynamicImage::ImageRgba8(image) => convert_values(image, 4, &*of_bytes(Layout::Rgba)?),
        DynamicImage::ImageRgb16(image) => convert_values(image, 3, &*of_words(Layout::Rgb)?),
        DynamicImage::ImageRgba16(image) => convert_values(image, 4, &*of_words(Layout::Rgba)?),
        // Grey, to which no profile of RGB belongs.
        _ => Ok(()),
    }
}

fn convert_values<T: Copy + Default>(
    values: &mut [T],
    channels: usize,
    transform: &(dyn TransformExecutor<T> + Send + Sync),
) -> Result<(), CmsError> {
    let mut before = Vec::new();
    for chunk in values.chunks_mut(channels * CHUNK) {
        before.clear();
        before.extend_from_slice(chunk);
        transform.transform(&before, chunk)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use image::{
        ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader, codecs::png::PngEncoder,
    };

    use super::*;
    use crate::{picture_file::PictureFile, source::Sizing};

    /// A PNG with a profile.
    fn write(path: &std::path::Path, pixels: &[u8], color: ExtendedColorType, profile: Vec<u8>) {
        let mut encoder = PngEncoder::new(std::fs::File::create(path).unwrap());
        encoder.set_icc_profile(profile).unwrap();
        encoder.write_image(pixels, 64, 32, color).unwrap();
    }

    /// Colours of all kinds, in 64x32 pixels.
    fn colours() -> Vec<[u8; 3]> {
        let grid = (0..64 * 32).map(|i| [i % 16 * 17, i / 16 % 16 * 17, i / 256 * 36]);
        grid.map(|rgb| rgb.map(|value| value as u8)).collect()
    }

    fn gamma_of_srgb(linear: f64) -> f64 {
        match linear.clamp(0.0, 1.0) {
            dark @ ..=0.003_130_8 => 12.92 * dark,
            light => 1.055 * light.powf(1.0 / 2.4) - 0.055,
        }
    }

    fn linear_of_srgb(value: f64) -> f64 {
        match value {
            dark @ ..=0.040_45 => dark / 12.92,
            light => ((light + 0.055) / 1.055).powf(2.4),
        }
    }

    /// From the primaries of Display P3 (SMPTE EG 432-1) and of Adobe RGB (1998) to those of ITU-R BT.709, in linear light.
    const P3: [[f64; 3]; 3] = [
        [1.224_94, -0.224_94, 0.0],
        [-0.042_06, 1.042_06, 0.0],
        [-0.019_64, -0.078_64, 1.098_28],
    ];
    const ADOBE: [[f64; 3]; 3] = [
        [1.398_36, -0.398_36, 0.0],
        [0.0, 1.0, 0.0],
        [0.0, -0.042_93, 1.042_93],
    ];

    #[test]
    fn wide_gamuts_are_brought_to_srgb() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        let adobe = |value: f64| value.powf(563.0 / 256.0);
        let spaces: [(_, _, &dyn Fn(f64) -> f64); 2] = [
            (ColorProfile::new_display_p3(), P3, &linear_of_srgb),
            (ColorProfile::new_adobe_rgb(), ADOBE, &adobe),
        ];
        for (profile, matrix, linear) in spaces {
            let expected = colours().into_iter().flat_map(|rgb| {
                let light = rgb.map(|value| linear(f64::from(value) / 255.0));
                matrix.map(|row| {
                    let mixed = row.iter().zip(light).map(|(a, b)| a * b).sum();
                    (gamma_of_srgb(mixed) * 255.0).round() as u8
                })
            });
            let expected: Vec<u8> = expected.collect();
            let profile = profile.encode().unwrap();
            let bytes: Vec<u8> = colours().concat();
            let with_alpha = |rgb: [u8; 3]| [rgb[0], rgb[1], rgb[2], 255 - rgb[0] % 2];
            let words = bytes.iter().flat_map(|&value| [value; 2]);
            for (pixels, color) in [
                (bytes.clone(), ExtendedColorType::Rgb8),
                (words.collect(), ExtendedColorType::Rgb16),
                (
                    colours().into_iter().flat_map(with_alpha).collect(),
                    ExtendedColorType::Rgba8,
                ),
            ] {
                write(&path, &pixels, color, profile.clone());
                let file = PictureFile::read(&path, Sizing::Native).unwrap();
                let style = PictureFile::read_style(&path).unwrap();
                for read in [&file, &style] {
                    for (value, wanted) in read.picture.rgb().iter().zip(&expected) {
                        assert!(value.abs_diff(*wanted) <= 2, "{color:?} {value} {wanted}");
                    }
                }
                let alpha: Vec<u8> = colours()
                    .into_iter()
                    .map(|rgb| with_alpha(rgb)[3])
                    .collect();
                let has_alpha = color == ExtendedColorType::Rgba8;
                assert_eq!(file.alpha, has_alpha.then_some(alpha), "{color:?}");

                file.write(&path, true).unwrap();
                let mut written = ImageReader::open(&path).unwrap().into_decoder().unwrap();
                assert_eq!(written.icc_profile().unwrap(), None);
            }
        }
    }

    #[test]
    fn what_is_srgb_or_cannot_be_converted_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p.png");
        let p3 = ColorProfile::new_display_p3().encode().unwrap();
        // What a profile says that it is of.
        let of = |space: &[u8; 4]| [&p3[..16], space, &p3[20..]].concat();
        for profile in [
            ColorProfile::new_srgb().encode().unwrap(),
            of(b"CMYK"),
            of(b"GRAY"),
            p3[..p3.len() / 2].to_vec(),
            b"no profile".to_vec(),
        ] {
            let pixels = colours().concat();
            write(&path, &pixels, ExtendedColorType::Rgb8, profile);
            let file = PictureFile::read(&path, Sizing::Native).unwrap();
            assert_eq!(file.picture.rgb(), pixels);
        }
    }
}
