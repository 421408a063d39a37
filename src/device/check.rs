//! What a GPU's paintings are compared with, before it is trusted.

use crate::frame::Picture;

/// The bounds of the difference to the processor's painting in single precision, of 255: mean and largest.
pub const BOUNDS: (f64, u8) = (1.0, 8);

/// Mean and largest difference of two pictures, of 255.
#[must_use]
pub fn compare(painted: &[u8], expected: &[u8]) -> (f64, u8) {
    let differences = painted.iter().zip(expected).map(|(a, b)| a.abs_diff(*b));
    let sum: u64 = differences.clone().map(u64::from).sum();
    let mean = sum as f64 / painted.len().max(1) as f64;
    (mean, differences.max().unwrap_or(0))
}

/// A picture with something in it everywhere, moved to the left by so many pixels.
pub(crate) fn waves((width, height): (usize, usize), moved: f32) -> Picture {
    let mut picture = Picture::black(width, height);
    for (i, value) in picture.rgb_mut().iter_mut().enumerate() {
        let (x, y, c) = ((i / 3 % width) as f32, (i / 3 / width) as f32, i % 3);
        let x = x + moved;
        let wave = (0.21 * x + c as f32).sin() + (0.17 * y + 0.05 * x).cos();
        *value = (128.0 + 50.0 * wave + 20.0 * (x * y * 0.003).sin()) as u8;
    }
    picture
}
