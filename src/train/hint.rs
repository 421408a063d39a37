//! What the trunk of a student is to be: near the teacher's planes (a *hint*: Romero et al. 2015, FitNets), and the same in two
//! frames of a film, wherever the picture moved to.
//!
//! A plane has a quarter of the picture's size, so a move by a pixel is one by a quarter of its own. Where the student's
//! planes move along with the picture by such steps, its strokes do, for what makes the picture of them is frozen. The moved
//! plane is looked up by Catmull-Rom's cubic, which keeps what a linear look-up would blur (and the blur would be learned).

/// Places of the plane along its borders that do not count: what lies outside of a piece is another in each view.
const MARGIN: usize = 3;

/// By what each channel's squared difference is multiplied: one by its variance in `target` (and some of the mean
/// variance: channels that hardly vary count for less than those that carry the picture, however wrong they are).
pub(super) fn hint_weights(target: &[f32], channels: usize) -> Vec<f32> {
    let count = (target.len() / channels) as f32;
    let (mut means, mut squares) = (vec![0.0; channels], vec![0.0; channels]);
    for pixel in target.chunks_exact(channels) {
        for ((mean, square), value) in means.iter_mut().zip(&mut squares).zip(pixel) {
            *mean += value / count;
            *square += value * value / count;
        }
    }
    let variances: Vec<f32> = means
        .iter()
        .zip(&squares)
        .map(|(mean, square)| (square - mean * mean).max(0.0))
        .collect();
    let floor = 0.2 * variances.iter().sum::<f32>() / channels as f32 + 1e-3;
    variances.iter().map(|own| 1.0 / (own + floor)).collect()
}

/// Mean square difference of two planes, weighed by channel; `plane` becomes the gradient, that of a loss above 1
/// shortened.
pub(super) fn hint_loss(plane: &mut [f32], target: &[f32], weights: &[f32]) -> f32 {
    let channels = weights.len();
    let mut loss = 0.0;
    let share = 1.0 / target.len() as f32;
    for (pixel, target) in plane
        .chunks_exact_mut(channels)
        .zip(target.chunks_exact(channels))
    {
        for ((value, target), weight) in pixel.iter_mut().zip(target).zip(weights) {
            let difference = *value - target;
            loss += share * weight * difference * difference;
            *value = 2.0 * share * weight * difference;
        }
    }
    // An almost flat piece has no variance to speak of: one such would fill Adam's memory for a thousand steps.
    if loss > 1.0 {
        plane.iter_mut().for_each(|value| *value /= loss);
    }
    loss
}

/// Mean square difference, weighed by channel, of the plane of the second view from that of the first, looked up where the
/// picture moved: by (row, column) pixels, of which four are one place of the planes (`side` × `side`). Adds `factor` times
/// the gradient by the first to `slopes`; `second` becomes that by the second. A loss above 1 is shortened as
/// [`hint_loss`] does.
pub(super) fn moved_loss(
    (first, slopes): (&[f32], &mut [f32]),
    second: &mut [f32],
    (side, moved): (usize, (isize, isize)),
    weights: &[f32],
    factor: f32,
) -> f32 {
    let channels = weights.len();
    let (down, across) = (Tap::of(moved.0), Tap::of(moved.1));
    let inside = |place: usize, tap: &Tap| {
        let (least, most) = (MARGIN as isize, (side - MARGIN) as isize);
        let at = place as isize + tap.whole;
        (least..most).contains(&(place as isize)) && at - 1 >= least && at + 2 < most
    };
    let rows: Vec<usize> = (0..side).filter(|row| inside(*row, &down)).collect();
    let columns: Vec<usize> = (0..side)
        .filter(|column| inside(*column, &across))
        .collect();
    let share = 1.0 / ((rows.len() * columns.len()).max(1) * channels) as f32;
    let at = |row: usize, column: usize, (i, j): (usize, usize)| {
        let y = (row as isize + down.whole + i as isize - 1) as usize;
        let x = (column as isize + across.whole + j as isize - 1) as usize;
        (y * side + x) * channels
    };
    let taps: Vec<(usize, usize, f32)> = (0..16)
        .map(|k| (k / 4, k % 4, down.weights[k / 4] * across.weights[k % 4]))
        .filter(|tap| tap.2 != 0.0)
        .collect();
    let mut differences = vec![0.0; second.len()];
    let mut loss = 0.0;
    for &row in &rows {
        for &column in &columns {
            let start = (row * side + column) * channels;
            let own = &mut differences[start..start + channels];
            for &(i, j, tap) in &taps {
                let from = &first[at(row, column, (i, j))..][..channels];
                own.iter_mut()
                    .zip(from)
                    .for_each(|(sum, value)| *sum += tap * value);
            }
            let second = &second[start..start + channels];
            for ((own, second), weight) in own.iter_mut().zip(second).zip(weights) {
                let difference = *own - second;
                loss += share * weight * difference * difference;
                *own = 2.0 * share * weight * difference;
            }
        }
    }
    let factor = factor / loss.max(1.0);
    for (value, slope) in second.iter_mut().zip(&differences) {
        *value = -factor * slope;
    }
    for &row in &rows {
        for &column in &columns {
            let start = (row * side + column) * channels;
            let own = &differences[start..start + channels];
            for &(i, j, tap) in &taps {
                let to = &mut slopes[at(row, column, (i, j))..][..channels];
                to.iter_mut()
                    .zip(own)
                    .for_each(|(sum, slope)| *sum += factor * tap * slope);
            }
        }
    }
    loss
}

/// A look-up between places: at `whole` - 1 to `whole` + 2.
struct Tap {
    whole: isize,
    weights: [f32; 4],
}

impl Tap {
    /// Of a move by so many pixels, quarters of a place (Keys 1981, a = -1/2).
    fn of(pixels: isize) -> Self {
        let t = pixels.rem_euclid(4) as f32 / 4.0;
        Self {
            whole: pixels.div_euclid(4),
            weights: [
                t * (-0.5 + t * (1.0 - 0.5 * t)),
                1.0 + t * t * (-2.5 + 1.5 * t),
                t * (0.5 + t * (2.0 - 1.5 * t)),
                t * t * (-0.5 + 0.5 * t),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 24;

    /// A smooth plane of two channels, moved by so many quarters of a place.
    fn plane((down, right): (isize, isize)) -> Vec<f32> {
        let value = |n: usize| {
            let (y, x) = (n / 2 / SIDE, n / 2 % SIDE);
            let (y, x) = (y as f32 + down as f32 / 4.0, x as f32 + right as f32 / 4.0);
            (0.3 * y + n as f32 % 2.0).sin() + (0.25 * x).cos()
        };
        (0..2 * SIDE * SIDE).map(value).collect()
    }

    #[test]
    fn a_plane_that_moved_along_costs_nothing() {
        for moved in [(0, 0), (4, -8), (1, 2), (-3, 7)] {
            let (first, mut second) = (plane((0, 0)), plane(moved));
            let mut slopes = vec![0.0; first.len()];
            let still = moved_loss(
                (&first, &mut slopes),
                &mut second,
                (SIDE, moved),
                &[1.0; 2],
                1.0,
            );
            let mut second = plane((moved.0 + 2, moved.1));
            let other = moved_loss(
                (&first, &mut slopes),
                &mut second,
                (SIDE, moved),
                &[1.0; 2],
                1.0,
            );
            assert!(still < 1e-5 && other > 1e-3, "{moved:?}: {still} {other}");
        }
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let moved = (-5, 3);
        let weights = [0.7, 1.3];
        let (first, second) = (plane((1, 0)), plane((2, 9)));
        let loss = |first: &[f32], second: &[f32]| {
            let mut none = vec![0.0; first.len()];
            moved_loss(
                (first, &mut none),
                &mut second.to_vec(),
                (SIDE, moved),
                &weights,
                1.0,
            )
        };
        let mut slopes = vec![0.0; first.len()];
        let mut back = second.clone();
        moved_loss(
            (&first, &mut slopes),
            &mut back,
            (SIDE, moved),
            &weights,
            1.0,
        );
        for n in [
            2 * (9 * SIDE + 11),
            2 * (12 * SIDE + 8) + 1,
            2 * (14 * SIDE + 14),
        ] {
            let by = |index: usize, of_first: bool| {
                let at = |step: f32| {
                    let (mut a, mut b) = (first.clone(), second.clone());
                    let values = if of_first { &mut a } else { &mut b };
                    values[index] += step;
                    f64::from(loss(&a, &b))
                };
                (at(0.1) - at(-0.1)) / 0.2
            };
            for (found, expected) in [(slopes[n], by(n, true)), (back[n], by(n, false))] {
                let found = f64::from(found);
                assert!(
                    (found - expected).abs() < 2e-2 * expected.abs() + 1e-6,
                    "{found} {expected}"
                );
            }
        }
    }
}
