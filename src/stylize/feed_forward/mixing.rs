//! Between two pictures, and between two styles.

use crate::kernels::StyleParameters;

/// Draws one picture towards another.
pub(super) fn mix_pictures(picture: &mut [u8], other: &[u8], share: f32) {
    let weight = (256.0 * share).round() as i32;
    for (value, &other) in picture.iter_mut().zip(other) {
        let from = i32::from(*value);
        *value = (from + (((i32::from(other) - from) * weight + 128) >> 8)) as u8;
    }
}

/// Draws one style towards another.
pub(super) fn mix(from: &StyleParameters, to: &StyleParameters, share: f32) -> StyleParameters {
    let mix = |from: &[f32], to: &[f32]| {
        from.iter()
            .zip(to)
            .map(|(from, to)| from + (to - from) * share)
            .collect()
    };
    StyleParameters {
        scale: mix(&from.scale, &to.scale),
        shift: mix(&from.shift, &to.shift),
    }
}

/// Brings mean and deviation of each colour part of the way (`share`) back to the original's.
pub(super) fn restore_contrast(original: &[u8], painting: &mut [u8], share: f32) {
    for channel in 0..3 {
        let moments = |rgb: &[u8]| {
            let (mut count, mut sum, mut squares) = (0_u64, 0_u64, 0_u64);
            for &value in rgb.iter().skip(channel).step_by(3) {
                count += 1;
                sum += u64::from(value);
                squares += u64::from(value) * u64::from(value);
            }
            let mean = sum as f32 / count as f32;
            let variance = squares as f32 / count as f32 - mean * mean;
            (mean, variance.max(1.0).sqrt())
        };
        let ((mean, deviation), (own_mean, own_deviation)) = (moments(original), moments(painting));
        let gain = 1.0 + (deviation / own_deviation - 1.0) * share;
        let centre = own_mean + (mean - own_mean) * share;
        let table: [u8; 256] = std::array::from_fn(|value| {
            (centre + (value as f32 - own_mean) * gain + 0.5).clamp(0.0, 255.0) as u8
        });
        for value in painting.iter_mut().skip(channel).step_by(3) {
            *value = table[usize::from(*value)];
        }
    }
}
