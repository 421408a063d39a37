//! How much texture a picture has, octave by octave: mean magnitude of each band of a Laplacian pyramid.
//!
//! The pyramid is the usual one (Burt and Adelson 1983; OpenCV's `pyrDown` and `pyrUp`): the kernel (1 4 6 4 1)/16, of
//! which every second sample is kept, borders mirrored without repeating the edge.

use crate::frame::Picture;

/// Octaves measured, finest first.
pub(super) const OCTAVES: usize = 4;

/// BT.601 luma, 0..255.
pub(super) struct Grey {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) values: Vec<f32>,
}

impl Grey {
    /// The luma of a picture, rounded to whole numbers as decoders do.
    pub(super) fn of(picture: &Picture) -> Self {
        let values = picture
            .rgb()
            .chunks_exact(3)
            .map(|rgb| {
                let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(f32::from);
                (0.299 * r + 0.587 * g + 0.114 * b).round()
            })
            .collect();
        Self {
            width: picture.width(),
            height: picture.height(),
            values,
        }
    }
}

/// Mean magnitude of each octave, 0..255.
pub(super) fn octaves(picture: &Grey) -> [f64; OCTAVES] {
    let mut energies = [0.0; OCTAVES];
    let mut low = None;
    for energy in &mut energies {
        let fine = low.as_ref().unwrap_or(picture);
        let coarse = halved(fine);
        let smooth = doubled(&coarse, fine.width, fine.height);
        let sum: f64 = fine
            .values
            .iter()
            .zip(&smooth)
            .map(|(fine, smooth)| f64::from((fine - smooth).abs()))
            .sum();
        *energy = sum / fine.values.len() as f64;
        low = Some(coarse);
    }
    energies
}

/// Index `at` of a row of `size` values that is mirrored at both ends without repeating the edge.
fn mirrored(at: isize, size: usize) -> usize {
    if size == 1 {
        return 0;
    }
    let period = 2 * (size as isize - 1);
    let folded = at.rem_euclid(period);
    folded.min(period - folded) as usize
}

const KERNEL: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

fn halved(fine: &Grey) -> Grey {
    let (width, height) = (fine.width.div_ceil(2), fine.height.div_ceil(2));
    let mut rows = vec![0.0; width * fine.height];
    for y in 0..fine.height {
        for x in 0..width {
            rows[y * width + x] = (0..5)
                .map(|k| {
                    let at = mirrored(2 * x as isize + k as isize - 2, fine.width);
                    KERNEL[k] * fine.values[y * fine.width + at]
                })
                .sum();
        }
    }
    let mut values = vec![0.0; width * height];
    for y in 0..height {
        for (k, weight) in KERNEL.iter().enumerate() {
            let from = mirrored(2 * y as isize + k as isize - 2, fine.height) * width;
            for x in 0..width {
                values[y * width + x] += weight * rows[from + x];
            }
        }
    }
    Grey {
        width,
        height,
        values,
    }
}

/// The picture at (nearly) twice its size: zeros between its pixels, then the kernel times four.
fn doubled(coarse: &Grey, width: usize, height: usize) -> Vec<f32> {
    let line = |get: &dyn Fn(usize) -> f32, size: usize, at: usize| -> f32 {
        let near = at / 2;
        let next = (near + 1).min(size - 1);
        if at % 2 == 1 {
            return 0.5 * (get(near) + get(next));
        }
        // At the first pixel the mirror repeats the second.
        let before = if near == 0 { next } else { near - 1 };
        0.125 * (get(before) + get(next)) + 0.75 * get(near)
    };
    let mut rows = vec![0.0; width * coarse.height];
    for y in 0..coarse.height {
        let get = |x: usize| coarse.values[y * coarse.width + x];
        for x in 0..width {
            rows[y * width + x] = line(&get, coarse.width, x);
        }
    }
    let mut values = vec![0.0; width * height];
    for x in 0..width {
        let get = |y: usize| rows[y * width + x];
        for y in 0..height {
            values[y * width + x] = line(&get, coarse.height, y);
        }
    }
    values
}
