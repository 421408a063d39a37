//! Why a picture cannot be read or written, and what to do about it.

use std::{io, path::PathBuf};

use image::ImageError;

use crate::stylize::{MAX_PIXELS, MIN_SIDE};

/// Why a picture cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It cannot be opened.
    #[error("{} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no picture, or a broken one.
    #[error("{} cannot be read as a picture (PNG, JPEG and WebP are)", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ImageError,
    },
    /// It has too many pixels.
    #[error(
        "{} has {width}x{height} pixels, more than are painted at once ({} megapixels): use --max-size {suggestion}",
        path.display(), MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// A longest side that fits.
        suggestion: usize,
    },
    /// Decoded it would take too much memory.
    #[error(
        "{} has {width}x{height} pixels, which take more than {most_mib} MiB of memory: make it smaller with another program first",
        path.display()
    )]
    Memory {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// What it may take, in MiB.
        most_mib: u64,
    },
    /// It was to be painted with too many pixels.
    #[error(
        "pictures of {width}x{height} are more than is painted at once ({} megapixels): use a smaller --size",
        MAX_PIXELS / 1_000_000
    )]
    SizeTooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },
    /// It has too few pixels.
    #[error(
        "{} would be painted at {width}x{height} pixels, and both sides need {MIN_SIDE} or more: use {}",
        path.display(), larger(*.suggestion)
    )]
    TooSmall {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// A longest side at which it is large enough, where it was made smaller than it is.
        suggestion: Option<usize>,
    },
    /// The format holds no pictures of this size.
    #[error(
        "{} would have {width}x{height} pixels, and {format} holds {most} pixels a side: use .png or --max-size {most}",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// What the format is called.
        format: &'static str,
        /// The longest side that it holds.
        most: usize,
    },
    /// The extension is of no format that is written.
    #[error("{} has no extension that is written: use .png, .jpg or .webp", .0.display())]
    Extension(PathBuf),
    /// It is there already.
    #[error("{} exists: use --overwrite to replace it", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It cannot be encoded.
    #[error("{} cannot be encoded", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        #[source]
        source: ImageError,
    },
}

fn larger(suggestion: Option<usize>) -> String {
    suggestion.map_or("--size".to_owned(), |side| {
        format!("--max-size {side} or more")
    })
}
