//! Values that spread around zero, for what is kept in half precision.
//!
//! A normalised channel is `max(scale·y + shift, 0)`: all of it lies on one side of zero, often far away from it, and half
//! precision spends its bits on where it lies. A convolution with mirrored borders makes a constant of a constant, which
//! normalisation behind it takes away; so any number may be taken off each channel, and the painting is the same. Taken off
//! is what the channel is in the mean, were its outputs normally distributed. What the next convolution makes of it then
//! lies around zero too.

use super::{NetworkShape, StyleParameters, network::Upsample};

/// The shifts of a style with the centres taken off.
pub(crate) struct Centred {
    /// As [`StyleParameters::shift`].
    pub(crate) shift: Vec<f32>,
    /// What ReLU makes of what is less: zero, with the centre taken off.
    pub(crate) least: Vec<f32>,
}

impl StyleParameters {
    /// Takes off each channel what it is in the mean.
    pub(crate) fn centred(&self, shape: NetworkShape) -> Centred {
        let mut shift = self.shift.clone();
        let mut least = vec![0.0; shift.len()];
        for index in (0..shape.layers()).filter(|index| takes_constants_away(shape, *index)) {
            for channel in shape.style_channels_of(index) {
                let (scale, own) = (self.scale[channel], self.shift[channel]);
                let centre = match shape.layer(index).relu {
                    true => rectified_mean(scale.abs(), own),
                    false => own,
                };
                shift[channel] -= centre;
                least[channel] = -centre;
            }
        }
        Centred { shift, least }
    }
}

/// Whether every convolution that sees a layer's outputs makes one constant of a constant, and is normalised: the next one,
/// and behind the trunk all that it goes through. What is shuffled has a kernel, and so a constant, for each pixel of a block.
fn takes_constants_away(shape: NetworkShape, index: usize) -> bool {
    let (residual, expanding) = (shape.residual(), shape.expanding());
    let trunk =
        (residual..=expanding).contains(&(index + 1)) && (index + 1 - residual).is_multiple_of(2);
    let last = if trunk { expanding } else { index + 1 };
    last < shape.layers()
        && (index + 1..=last).all(|next| {
            let next = shape.layer(next);
            next.normalised && next.upsample != Some(Upsample::Shuffle)
        })
}

/// About the mean of `max(x, 0)` for `x` normally distributed. The distribution function is the logistic one, 0.01 apart.
fn rectified_mean(deviation: f32, mean: f32) -> f32 {
    if deviation == 0.0 {
        return mean.max(0.0);
    }
    let z = mean / deviation;
    let density = (-0.5 * z * z).exp() / std::f32::consts::TAU.sqrt();
    (deviation * density + mean / (1.0 + (-1.702 * z).exp())).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_what_relu_leaves_is_found() {
        for (deviation, mean) in [(1.0, 0.0), (0.5, 0.7), (2.0, -1.0), (0.3, -2.0), (0.1, 5.0)] {
            let steps: Vec<f32> = (0..4000).map(|i| (i as f32 + 0.5) / 400.0 - 5.0).collect();
            let weights = steps.iter().map(|z| (-0.5 * z * z).exp());
            let all: f32 = weights.clone().sum();
            let rectified = steps.iter().map(|z| (deviation * z + mean).max(0.0));
            let expected: f32 = rectified.zip(weights).map(|(x, w)| x * w / all).sum();
            let found = rectified_mean(deviation, mean);
            assert!(
                (found - expected).abs() < 0.02,
                "{deviation} {mean}: {found} for {expected}"
            );
        }
        assert_eq!(rectified_mean(0.0, 3.0), 3.0);
        assert_eq!(rectified_mean(0.0, -3.0), 0.0);
    }

    /// The entry of any picture's network is not normalised, and the last layer makes colours.
    #[test]
    fn what_normalisation_does_not_undo_is_left() {
        for shape in [NetworkShape::STYLE_PACK, NetworkShape::ANY_PICTURE] {
            let channels = shape.style_channels();
            let style = StyleParameters {
                scale: vec![1.0; channels],
                shift: vec![0.5; channels],
            };
            let centred = style.centred(shape);
            let last = shape.style_channels_of(shape.last());
            assert!(
                centred.shift[last.clone()]
                    .iter()
                    .all(|shift| *shift == 0.5)
            );
            assert!(
                centred.least[last.clone()]
                    .iter()
                    .all(|least| *least == 0.0)
            );
            assert!(
                centred.shift[..last.start]
                    .iter()
                    .all(|shift| *shift <= 0.0)
            );
            // What residual blocks add passes no ReLU: its mean is the shift.
            let added = shape.style_channels_of(shape.residual() + 1);
            assert!(centred.shift[added].iter().all(|shift| *shift == 0.0));
        }
    }

    /// Behind the trunk of a student stands a shuffle, which makes another constant for each pixel of a block; within a block a
    /// convolution follows that does not.
    #[test]
    fn what_is_shuffled_is_left() {
        for (layers, blocks) in [(2, 1), (1, 2), (2, 0)] {
            let shape = NetworkShape {
                entry: crate::kernels::Entry::Unshuffle {
                    channels: 16,
                    layers,
                },
                blocks,
                expand: [8, 3],
                last_kernel: None,
            };
            let centred: Vec<_> = (0..shape.layers())
                .map(|index| takes_constants_away(shape, index))
                .collect();
            let mut expected = vec![false; shape.layers()];
            expected[..layers - 1].fill(true);
            for block in 0..blocks {
                expected[layers + 2 * block] = true;
            }
            assert_eq!(centred, expected, "{shape:?}");
        }
    }
}
