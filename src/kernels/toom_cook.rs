//! The transforms of one-dimensional Winograd convolutions, F(4, 3) and F(3, 3) (Lavin and Gray, *Fast Algorithms for
//! Convolutional Neural Networks*, 2016): neighbouring inputs become positions, each of which is multiplied by the taps' own,
//! and a piece of neighbouring outputs is a sum of its positions. With three taps, four outputs cost six products in place
//! of twelve, three cost five in place of nine.
//!
//! Nine taps are three times three: with pieces of three outputs each group of taps reads the transform of a whole piece, and
//! the groups are added up before the transform is undone.
//!
//! Rounding to bf16 in between is 1.8 and 1.9 times that of the direct convolution with the points below (along one direction,
//! random weights, rectified inputs); with the usual 0, ±1, ±2 it would be 2.0 and 2.5 times. Of paintings it is a third of a
//! step of a byte on the mean (`tests/kernels.rs`).

use super::simd::Simd;

/// Taps of a group.
pub(super) const TAPS: usize = 3;
/// Most positions of a transformed piece.
pub(super) const MOST: usize = 6;
/// The polynomials are evaluated at 0, ±`NEAR`, `FAR`, with four outputs at -`FAR`, and at infinity.
const NEAR: f32 = 0.75;
/// See [`NEAR`].
const FAR: f32 = 1.5;
const NEAR_2: f32 = NEAR * NEAR;
const FAR_2: f32 = FAR * FAR;

/// One position of the transform of three taps.
pub(super) fn transform_taps(taps: [f32; TAPS], position: usize, outputs: usize) -> f32 {
    let points = [0.0, NEAR, -NEAR, FAR, -FAR].map(f64::from);
    let points = &points[..outputs + 1];
    let Some(point) = points.get(position) else {
        return taps[2];
    };
    let others = points.iter().enumerate().filter(|(i, _)| *i != position);
    let unit: f64 = others.map(|(_, other)| point - other).product();
    let [a, b, c] = taps.map(f64::from);
    ((a + point * b + point * point * c) / unit) as f32
}

/// The transform of neighbouring inputs to positions; of both the first `PIECE + 2` count.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_input<S: Simd, const PIECE: usize>(d: [S::F; MOST]) -> [S::F; MOST] {
    // SAFETY: arithmetic only.
    unsafe {
        // `x - factor * y`
        let less = |x, factor: f32, y| S::fma(S::splat(-factor), y, x);
        if PIECE == 4 {
            let (near_even, near_odd) = (less(d[4], FAR_2, d[2]), less(d[3], FAR_2, d[1]));
            let (far_even, far_odd) = (less(d[4], NEAR_2, d[2]), less(d[3], NEAR_2, d[1]));
            let product = S::splat(NEAR_2 * FAR_2);
            [
                S::fma(product, d[0], less(d[4], NEAR_2 + FAR_2, d[2])),
                less(near_even, -NEAR, near_odd),
                less(near_even, NEAR, near_odd),
                less(far_even, -FAR, far_odd),
                less(far_even, FAR, far_odd),
                S::fma(product, d[1], less(d[5], NEAR_2 + FAR_2, d[3])),
            ]
        } else {
            let far = less(d[3], NEAR_2, d[1]);
            let (near, odd) = (less(d[3], FAR, d[2]), less(d[2], FAR, d[1]));
            [
                less(less(far, -NEAR_2 * FAR, d[0]), FAR, d[2]),
                less(near, -NEAR, odd),
                less(near, NEAR, odd),
                far,
                less(less(d[4], FAR, d[3]), NEAR_2, odd),
                d[5],
            ]
        }
    }
}

/// A piece of outputs from the sums of its positions.
///
/// # Safety
/// As for [`Simd`].
#[inline(always)]
pub(super) unsafe fn transform_output<S: Simd, const PIECE: usize>(
    m: [S::F; MOST],
) -> [S::F; PIECE] {
    // SAFETY: arithmetic only.
    unsafe {
        let (even, odd) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (far_even, far_odd) = if PIECE == 4 {
            (S::add(m[3], m[4]), S::sub(m[3], m[4]))
        } else {
            (m[3], m[3])
        };
        let mut outputs = [m[0]; PIECE];
        for (power, output) in outputs.iter_mut().enumerate() {
            let (near, far) = if power % 2 == 0 {
                (even, far_even)
            } else {
                (odd, far_odd)
            };
            if power == 0 {
                *output = S::add(S::add(m[0], near), far);
                continue;
            }
            let power = power as i32;
            let near = S::mul(S::splat(NEAR.powi(power)), near);
            *output = S::fma(S::splat(FAR.powi(power)), far, near);
        }
        outputs[PIECE - 1] = S::add(outputs[PIECE - 1], m[PIECE + 1]);
        outputs
    }
}

#[cfg(test)]
mod tests {
    use super::super::simd::portable::Portable;
    use super::*;

    /// A piece of outputs by the transforms, and by the definition.
    fn both<const PIECE: usize>(inputs: [f32; MOST], taps: [f32; TAPS]) -> [[f32; PIECE]; 2] {
        // SAFETY: arithmetic on arrays.
        let piece: [_; PIECE] = unsafe {
            let spread = transform_input::<Portable, PIECE>(inputs.map(|value| [value; 8]));
            let products = std::array::from_fn(|position| {
                let taps = transform_taps(taps, position.min(PIECE + 1), PIECE);
                spread[position].map(|value| value * taps)
            });
            transform_output::<Portable, PIECE>(products)
        };
        let plain = |x: usize| (0..TAPS).map(|tap| taps[tap] * inputs[x + tap]).sum();
        [piece.map(|lanes| lanes[0]), std::array::from_fn(plain)]
    }

    #[test]
    fn pieces_are_convolutions() {
        let (inputs, taps) = ([3.0, -1.0, 4.0, 1.0, -5.0, 9.0], [2.0, -6.0, 5.0]);
        for [piece, plain] in [
            both::<4>(inputs, taps).map(|outputs| outputs.to_vec()),
            both::<3>(inputs, taps).map(|outputs| outputs.to_vec()),
        ] {
            for (a, b) in piece.iter().zip(&plain) {
                assert!((a - b).abs() < 1e-4, "{piece:?} for {plain:?}");
            }
        }
    }
}
