//! Halving and doubling of planes of one or two numbers a pixel.
//!
//! Sizes halve with the kernel (1 3 3 1)/8 and double with (1 3)/4: cell-centred, so any size works.

use crate::kernels::vectorised;

/// Row indices 2y−1 … 2y+2, kept inside `height` rows.
#[inline(always)]
fn four_rows(y: usize, height: usize) -> [usize; 4] {
    let last = height - 1;
    [
        (2 * y).saturating_sub(1),
        2 * y,
        (2 * y + 1).min(last),
        (2 * y + 2).min(last),
    ]
}

/// Indices of the two rows (of `height`) from which row `y` of the doubled picture is made, the nearer one first.
#[inline(always)]
pub(super) fn two_rows(y: usize, height: usize) -> [usize; 2] {
    let near = y / 2;
    let far = if y.is_multiple_of(2) {
        near.saturating_sub(1)
    } else {
        (near + 1).min(height - 1)
    };
    [near, far]
}

#[inline(always)]
pub(super) fn three_to_one(near: f32, far: f32) -> f32 {
    0.75 * near + 0.25 * far
}

/// Row `y` of the doubled `plane` of `narrow` by `low` pixels of `LANES` numbers (`PAIR` is twice that), into the whole
/// of `row`; `vertical` is scratch of `narrow` pixels or more.
#[inline(always)]
pub(super) fn double<const LANES: usize, const PAIR: usize>(
    plane: &[f32],
    narrow: usize,
    low: usize,
    y: usize,
    vertical: &mut [f32],
    row: &mut [f32],
) {
    let wide = LANES * narrow;
    let [near, far] = two_rows(y, low).map(|y| &plane[y * wide..][..wide]);
    let vertical = &mut vertical[..wide];
    for ((sum, &near), &far) in vertical.iter_mut().zip(near).zip(far) {
        *sum = three_to_one(near, far);
    }
    double_row::<LANES, PAIR>(vertical, row);
}

/// Doubles a row.
#[inline(always)]
pub(super) fn double_row<const LANES: usize, const PAIR: usize>(vertical: &[f32], row: &mut [f32]) {
    const { assert!(PAIR == 2 * LANES) };
    let wide = vertical.len();
    row[..LANES].copy_from_slice(&vertical[..LANES]);
    if row.len() == 2 * wide {
        row[2 * wide - LANES..].copy_from_slice(&vertical[wide - LANES..]);
    }
    let next = vertical[LANES..].as_chunks::<LANES>().0;
    let pixels = vertical.as_chunks::<LANES>().0.iter().zip(next);
    for (pair, (left, right)) in row[LANES..]
        .as_chunks_mut::<PAIR>()
        .0
        .iter_mut()
        .zip(pixels)
    {
        for lane in 0..LANES {
            pair[lane] = three_to_one(left[lane], right[lane]);
            pair[LANES + lane] = three_to_one(right[lane], left[lane]);
        }
    }
}

/// Rows of the halved `source` of `width` by `height` pixels of `LANES` numbers (`PAIR` is twice that), from row `first`;
/// `sums` is scratch of one row of the source.
#[inline(always)]
fn halve<const LANES: usize, const PAIR: usize>(
    source: &[f32],
    width: usize,
    height: usize,
    first: usize,
    halved: &mut [f32],
    sums: &mut [f32],
) {
    const { assert!(PAIR == 2 * LANES) };
    let (narrow, wide) = (width.div_ceil(2), LANES * width);
    let sums = &mut sums[..wide];
    for (i, out) in halved.chunks_exact_mut(LANES * narrow).enumerate() {
        let [a, b, c, d] = four_rows(first + i, height).map(|y| &source[y * wide..][..wide]);
        for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            *sum = 0.125 * (a + d) + 0.375 * (b + c);
        }
        let out = out.as_chunks_mut::<LANES>().0;
        let at = |x: usize| -> [f32; LANES] {
            let [a, b, c, d] = four_rows(x, width);
            std::array::from_fn(|lane| {
                let [a, b, c, d] = [a, b, c, d].map(|x| sums[LANES * x + lane]);
                0.125 * (a + d) + 0.375 * (b + c)
            })
        };
        // Only the first pixel and the last one or two reach beyond the row.
        let pairs = sums.as_chunks::<PAIR>().0;
        let inner = pairs.len().saturating_sub(2);
        for x in (0..narrow).filter(|&x| x == 0 || x > inner) {
            out[x] = at(x);
        }
        for (out, window) in out[1..].iter_mut().zip(pairs.windows(3)) {
            for lane in 0..LANES {
                out[lane] = 0.125 * (window[0][LANES + lane] + window[2][lane])
                    + 0.375 * (window[1][lane] + window[1][LANES + lane]);
            }
        }
    }
}

vectorised! {
    /// Rows of a plane of luma at half size, from row `first`; `sums` is scratch of `width` numbers.
    pub(super) fn halve_luma(source: &[f32], width: usize, height: usize, first: usize, halved: &mut [f32], sums: &mut [f32]) {
        halve::<1, 2>(source, width, height, first, halved, sums);
    }

    /// The same for a plane of colour; `sums` is scratch of twice `width` numbers.
    pub(super) fn halve_colour(source: &[f32], width: usize, height: usize, first: usize, halved: &mut [f32], sums: &mut [f32]) {
        halve::<2, 4>(source, width, height, first, halved, sums);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_and_doubling_keep_a_flat_picture_at_any_size() {
        for (width, height) in [
            (33_usize, 35),
            (34, 40),
            (17, 2),
            (2, 17),
            (3, 3),
            (1, 1),
            (640, 4),
        ] {
            let (narrow, low) = (width.div_ceil(2), usize::div_ceil(height, 2));
            let source = [7.0, 8.0].repeat(width * height);
            let mut halved = vec![0.0; 2 * narrow * low];
            halve_colour(
                &source,
                width,
                height,
                0,
                &mut halved,
                &mut vec![0.0; 2 * width],
            );
            assert_eq!(halved, [7.0, 8.0].repeat(narrow * low), "{width}x{height}");
            let (mut row, mut vertical) = (vec![0.0; 2 * width], vec![0.0; 2 * narrow]);
            for y in 0..height {
                double::<2, 4>(&halved, narrow, low, y, &mut vertical, &mut row);
                assert_eq!(row, [7.0, 8.0].repeat(width), "{width}x{height}, row {y}");
            }
        }
    }

    #[test]
    fn halving_a_ramp_gives_the_mean_of_each_pair() {
        for width in [12, 13] {
            let narrow = usize::div_ceil(width, 2);
            let source: Vec<f32> = (0..width * 4).map(|i| (i % width) as f32).collect();
            let mut halved = vec![0.0; narrow * 2];
            halve_luma(&source, width, 4, 0, &mut halved, &mut vec![0.0; width]);
            // Away from the border a symmetric kernel returns the ramp's value at its centre.
            assert_eq!(&halved[1..5], [2.5, 4.5, 6.5, 8.5]);
            let last = (width - 1) as f32;
            let edge = if width % 2 == 0 {
                0.125 * (last - 2.0 + last) + 0.375 * (last - 1.0 + last)
            } else {
                0.125 * (last - 1.0 + last) + 0.375 * (last + last)
            };
            assert!((halved[narrow - 1] - edge).abs() < 1e-5);
        }
    }

    #[test]
    fn doubling_a_ramp_is_a_ramp_of_half_the_slope() {
        let plane: Vec<f32> = (0..6 * 3).map(|i| (i % 6) as f32).collect();
        let (mut row, mut vertical) = (vec![0.0; 12], vec![0.0; 6]);
        double::<1, 2>(&plane, 6, 3, 2, &mut vertical, &mut row);
        for (x, value) in row.iter().enumerate().skip(1).take(10) {
            assert!(
                (value - (x as f32 - 0.5) / 2.0).abs() < 1e-6,
                "{x}: {value}"
            );
        }
    }
}
