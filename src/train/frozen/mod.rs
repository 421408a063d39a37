//! Any feed-forward painter with frozen convolutions, and the gradient of its style.
//!
//! A style is nothing but the scale and shift of every normalised channel (Dumoulin et al. 2017). To learn one, a gradient
//! has to come from the painting back through every layer, but no further than to these numbers: the gradients of the
//! kernels, a third of the work, are never made, and inputs of convolutions need not be kept. Convolutions of whatever
//! kernel and stride are products of matrices over strips of rows: with planes as `[row][column][channel]` a kernel's row
//! is one run of memory, so taking the strip apart is copying. That serves the students and the network of 26 styles alike;
//! the loss network that looks at the painting costs many times as much.
//!
//! The same walk through the last layers alone ([`FrozenNetwork::end`]) goes back to the plane that they paint from: what a
//! student learns whose end is its teacher's.

mod planes;

use super::normalise::{gated_sums, gather, moments, normalise, normalise_back, spread};
use crate::kernels::{
    Entry, LayerShape, NetworkShape, StyleParameters, TransformWeights, Upsample, matrix_product,
};
use planes::{double, halve_back, pad, pad_back, unshuffle};

/// Numbers that a strip of a plane becomes when it is taken apart: what a second-level cache holds.
const STRIP: usize = 1 << 17;

/// The sides of a picture are multiples of this.
pub const BLOCK: usize = 4;

/// One convolution, ready for both directions.
struct Layer {
    shape: LayerShape,
    /// `[row][column][input][output]`.
    forward: Vec<f32>,
    /// `[output][row][column][input]`.
    backward: Vec<f32>,
    /// Where its numbers lie among a style's.
    style: std::ops::Range<usize>,
}

/// The network; shared by any number of tapes.
pub struct FrozenNetwork {
    shape: NetworkShape,
    /// The network's layers from `first` on.
    layers: Vec<Layer>,
    first: usize,
}

impl FrozenNetwork {
    /// Takes over the convolutions of a network.
    ///
    /// # Errors
    /// A sentence, when a layer is not normalised by the style: such a network's styles cannot be learned here.
    pub fn new(weights: &TransformWeights) -> Result<Self, String> {
        Self::from(weights, 0)
    }

    /// Takes over only the layers that make a picture of the trunk's plane, `[height / 4][width / 4][channels]`.
    ///
    /// # Errors
    /// As [`FrozenNetwork::new`].
    pub fn end(weights: &TransformWeights) -> Result<Self, String> {
        Self::from(weights, weights.shape().expanding())
    }

    fn from(weights: &TransformWeights, first: usize) -> Result<Self, String> {
        let shape = weights.shape();
        let layers = weights
            .layers()
            .iter()
            .enumerate()
            .skip(first)
            .map(|(index, layer)| {
                let own = shape.layer(index);
                if !own.normalised {
                    return Err(format!(
                        "its layer {} takes nothing from the style",
                        shape.name(index)
                    ));
                }
                let (outputs, inputs, taps) = (
                    layer.out_channels,
                    layer.in_channels,
                    layer.kernel_size.pow(2),
                );
                let mut forward = vec![0.0; layer.weight.len()];
                let mut backward = vec![0.0; layer.weight.len()];
                for (at, value) in layer.weight.iter().enumerate() {
                    let (output, input, tap) = (at / taps / inputs, at / taps % inputs, at % taps);
                    forward[(tap * inputs + input) * outputs + output] = *value;
                    backward[(output * taps + tap) * inputs + input] = *value;
                }
                Ok(Layer {
                    shape: own,
                    forward,
                    backward,
                    style: shape.style_channels_of(index),
                })
            });
        Ok(Self {
            layers: layers.collect::<Result<_, String>>()?,
            first,
            shape,
        })
    }

    /// Scales (and as many shifts) of a style.
    #[must_use]
    pub fn style_channels(&self) -> usize {
        self.shape.style_channels()
    }
}

/// What one layer keeps of its forward pass.
#[derive(Default)]
struct Kept {
    /// Rows and columns of the plane that is convolved (behind upsampling), and of what the convolution makes of it.
    sizes: [(usize, usize); 2],
    /// What is normalised.
    raw: Vec<f32>,
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
}

/// The forward pass of one picture, kept for the gradient of its style. Belongs to one thread.
#[derive(Default)]
pub struct FrozenTape {
    kept: Vec<Kept>,
    style: Option<StyleParameters>,
    output: Vec<f32>,
    plane: Vec<f32>,
    other: Vec<f32>,
    trunk: Vec<f32>,
    strip: Vec<f32>,
}

impl FrozenTape {
    /// What [`FrozenTape::forward`] painted last: `[height][width][3]`, 0..1.
    #[must_use]
    pub fn output(&self) -> &[f32] {
        &self.output
    }

    /// Paints `picture`, `[height][width][3]` with values 0..1, whose sides are multiples of [`BLOCK`] from 32 on, in
    /// `style`. Returns `[height][width][3]`, 0..1.
    ///
    /// # Panics
    /// When a size does not fit.
    pub fn forward(
        &mut self,
        network: &FrozenNetwork,
        style: &StyleParameters,
        picture: &[f32],
        (height, width): (usize, usize),
    ) -> &[f32] {
        assert_eq!(
            (picture.len(), height % BLOCK, width % BLOCK),
            (3 * height * width, 0, 0)
        );
        assert_eq!(network.first, 0);
        let mut size = (height, width);
        match network.shape.entry {
            Entry::Contract { .. } => {
                self.plane.clear();
                self.plane.extend_from_slice(picture);
            }
            Entry::Unshuffle { .. } => {
                unshuffle(picture, size, BLOCK, &mut self.plane);
                size = (height / BLOCK, width / BLOCK);
            }
        }
        self.run(network, style, size)
    }

    /// The same by the end of a network from the trunk's `plane`, whose size is `(rows, columns)`.
    ///
    /// # Panics
    /// When a size does not fit, or the network is a whole one.
    pub fn forward_end(
        &mut self,
        network: &FrozenNetwork,
        style: &StyleParameters,
        plane: &[f32],
        (rows, columns): (usize, usize),
    ) -> &[f32] {
        assert_eq!(network.first, network.shape.expanding());
        assert_eq!(plane.len(), rows * columns * network.shape.trunk());
        self.plane.clear();
        self.plane.extend_from_slice(plane);
        self.run(network, style, (rows, columns))
    }

    /// All layers that there are, from `plane`.
    fn run(
        &mut self,
        network: &FrozenNetwork,
        style: &StyleParameters,
        mut size: (usize, usize),
    ) -> &[f32] {
        let shape = network.shape;
        self.kept.resize_with(network.layers.len(), Kept::default);
        for (place, layer) in network.layers.iter().enumerate() {
            let index = network.first + place;
            if opens_block(shape, index) {
                self.trunk.clone_from(&self.plane);
            }
            size = self.layer(layer, place, style, size);
            if closes_block(shape, index) {
                add(&mut self.plane, &self.trunk);
            }
        }
        self.output.clear();
        let logistic = self.plane.iter().map(|value| 1.0 / (1.0 + (-value).exp()));
        self.output.extend(logistic);
        self.style = Some(style.clone());
        &self.output
    }

    /// Upsampling, convolution, normalisation and ReLU of a layer, from `plane` to `plane`; returns the new size.
    fn layer(
        &mut self,
        layer: &Layer,
        place: usize,
        style: &StyleParameters,
        mut size: (usize, usize),
    ) -> (usize, usize) {
        let shape = &layer.shape;
        if shape.upsample == Some(Upsample::Nearest) {
            double(&self.plane, size, shape.in_channels, &mut self.other);
            std::mem::swap(&mut self.plane, &mut self.other);
            size = (2 * size.0, 2 * size.1);
        }
        let made = (size.0 / shape.stride, size.1 / shape.stride);
        pad(
            &self.plane,
            size,
            (shape.in_channels, shape.kernel_size / 2),
            &mut self.other,
        );
        let kept = &mut self.kept[place];
        kept.sizes = [size, made];
        let outputs = shape.kernel_outputs();
        let mut end = made;
        if shape.upsample == Some(Upsample::Shuffle) {
            self.plane.resize(made.0 * made.1 * outputs, 0.0);
            convolve(
                layer,
                &self.other,
                size,
                made,
                &mut self.strip,
                &mut self.plane,
            );
            end = (2 * made.0, 2 * made.1);
            kept.raw.resize(self.plane.len(), 0.0);
            spread(
                &self.plane,
                made,
                (outputs, shape.out_channels),
                &mut kept.raw,
            );
        } else {
            kept.raw.resize(made.0 * made.1 * outputs, 0.0);
            convolve(
                layer,
                &self.other,
                size,
                made,
                &mut self.strip,
                &mut kept.raw,
            );
        }
        let channels = shape.out_channels;
        for sums in [&mut kept.mean, &mut kept.inverse] {
            sums.clear();
            sums.resize(channels, 0.0);
        }
        moments(&kept.raw, &mut kept.mean, &mut kept.inverse);
        self.plane.resize(kept.raw.len(), 0.0);
        normalise(
            &kept.raw,
            &kept.mean,
            &kept.inverse,
            &style.scale[layer.style.clone()],
            &style.shift[layer.style.clone()],
            shape.relu,
            &mut self.plane,
        );
        end
    }

    /// Adds to `gradient` that of the style, from `upstream`, the gradient of what [`FrozenTape::forward`] or
    /// [`FrozenTape::forward_end`] returned. Returns the gradient of the plane that an end painted from; what it returns for
    /// a whole network is of no use.
    ///
    /// # Panics
    /// When a length does not fit or nothing was painted.
    pub fn backward(
        &mut self,
        network: &FrozenNetwork,
        upstream: &[f32],
        gradient: &mut StyleParameters,
    ) -> &[f32] {
        assert_eq!(upstream.len(), self.output.len());
        let style = self.style.take().expect("a picture was painted");
        self.plane.clear();
        let values = self.output.iter().zip(upstream);
        let slopes = values.map(|(value, slope)| value * (1.0 - value) * slope);
        self.plane.extend(slopes);
        for (place, layer) in network.layers.iter().enumerate().rev() {
            let index = network.first + place;
            if closes_block(network.shape, index) {
                self.trunk.clone_from(&self.plane);
            }
            self.layer_back(layer, place, index == 0, &style, gradient);
            if opens_block(network.shape, index) {
                add(&mut self.plane, &self.trunk);
            }
        }
        self.style = Some(style);
        &self.plane
    }

    /// From the gradient of a layer's output in `plane` to that of its input, unless `only_style` is wanted.
    fn layer_back(
        &mut self,
        layer: &Layer,
        place: usize,
        only_style: bool,
        style: &StyleParameters,
        gradient: &mut StyleParameters,
    ) {
        let (shape, kept) = (&layer.shape, &self.kept[place]);
        let (scale, shift) = (
            &style.scale[layer.style.clone()],
            &style.shift[layer.style.clone()],
        );
        let channels = shape.out_channels;
        let (mut of_shift, mut of_scale) = (vec![0.0; channels], vec![0.0; channels]);
        gated_sums(
            &kept.raw,
            &kept.mean,
            &kept.inverse,
            scale,
            shift,
            shape.relu,
            &mut self.plane,
            &mut of_shift,
            &mut of_scale,
        );
        add(&mut gradient.scale[layer.style.clone()], &of_scale);
        add(&mut gradient.shift[layer.style.clone()], &of_shift);
        if only_style {
            return;
        }
        normalise_back(
            &kept.raw,
            &kept.mean,
            &kept.inverse,
            scale,
            &of_shift,
            &of_scale,
            &mut self.plane,
        );
        let [size, made] = kept.sizes;
        let outputs = shape.kernel_outputs();
        if shape.upsample == Some(Upsample::Shuffle) {
            self.other.clear();
            self.other.resize(made.0 * made.1 * outputs, 0.0);
            gather(&self.plane, made, (outputs, channels), &mut self.other);
            std::mem::swap(&mut self.plane, &mut self.other);
        }
        let half = shape.kernel_size / 2;
        let padded = (size.0 + 2 * half) * (size.1 + 2 * half) * shape.in_channels;
        self.other.clear();
        self.other.resize(padded, 0.0);
        convolve_back(
            layer,
            &self.plane,
            size,
            made,
            &mut self.strip,
            &mut self.other,
        );
        self.plane.resize(size.0 * size.1 * shape.in_channels, 0.0);
        pad_back(
            &self.other,
            size,
            (shape.in_channels, half),
            &mut self.plane,
        );
        if shape.upsample == Some(Upsample::Nearest) {
            halve_back(&self.plane, size, shape.in_channels, &mut self.other);
            std::mem::swap(&mut self.plane, &mut self.other);
        }
    }
}

/// Whether a residual block begins with this layer.
fn opens_block(shape: NetworkShape, layer: usize) -> bool {
    (shape.residual()..shape.expanding()).contains(&layer)
        && (layer - shape.residual()).is_multiple_of(2)
}

/// Whether a residual block ends with this layer.
fn closes_block(shape: NetworkShape, layer: usize) -> bool {
    layer > 0 && opens_block(shape, layer - 1)
}

fn add(sum: &mut [f32], more: &[f32]) {
    sum.iter_mut()
        .zip(more)
        .for_each(|(sum, more)| *sum += more);
}

/// Rows of the result that are made at once, of `columns` places with `taken` numbers each.
fn strip_rows(columns: usize, taken: usize) -> usize {
    (STRIP / (columns * taken)).max(1)
}

/// Calls `each` with every run of a kernel's row: its place in the strip and in the padded plane, for the rows from `top`
/// on. Both runs are `kernel_size * in_channels` long.
fn runs(
    shape: &LayerShape,
    (columns, line): (usize, usize),
    rows: std::ops::Range<usize>,
    mut each: impl FnMut(usize, usize),
) {
    let (kernel, run) = (shape.kernel_size, shape.kernel_size * shape.in_channels);
    let mut strip = 0;
    for y in rows {
        for x in 0..columns {
            let corner = y * shape.stride * line + x * shape.stride * shape.in_channels;
            for row in 0..kernel {
                each(strip, corner + row * line);
                strip += run;
            }
        }
    }
}

/// The convolution of a padded plane.
fn convolve(
    layer: &Layer,
    padded: &[f32],
    (_, columns): (usize, usize),
    made: (usize, usize),
    strip: &mut Vec<f32>,
    output: &mut [f32],
) {
    let shape = &layer.shape;
    let run = shape.kernel_size * shape.in_channels;
    let (taken, outputs) = (run * shape.kernel_size, shape.kernel_outputs());
    let line = (columns + shape.kernel_size / 2 * 2) * shape.in_channels;
    let rows = strip_rows(made.1, taken);
    for (first, part) in (0..made.0)
        .step_by(rows)
        .zip(output.chunks_mut(rows * made.1 * outputs))
    {
        let places = part.len() / outputs;
        strip.resize(places * taken, 0.0);
        let range = first..first + places / made.1;
        runs(shape, (made.1, line), range, |to, from| {
            strip[to..to + run].copy_from_slice(&padded[from..from + run]);
        });
        matrix_product(part, &layer.forward, strip, (outputs, taken, places));
    }
}

/// The gradient of [`convolve`]: adds to the padded plane's, which is zero before.
fn convolve_back(
    layer: &Layer,
    gradient: &[f32],
    (_, columns): (usize, usize),
    made: (usize, usize),
    strip: &mut Vec<f32>,
    padded: &mut [f32],
) {
    let shape = &layer.shape;
    let run = shape.kernel_size * shape.in_channels;
    let (taken, outputs) = (run * shape.kernel_size, shape.kernel_outputs());
    let line = (columns + shape.kernel_size / 2 * 2) * shape.in_channels;
    let rows = strip_rows(made.1, taken);
    for (first, part) in (0..made.0)
        .step_by(rows)
        .zip(gradient.chunks(rows * made.1 * outputs))
    {
        let places = part.len() / outputs;
        strip.resize(places * taken, 0.0);
        matrix_product(strip, &layer.backward, part, (taken, outputs, places));
        let range = first..first + places / made.1;
        runs(shape, (made.1, line), range, |from, to| {
            add(&mut padded[to..to + run], &strip[from..from + run]);
        });
    }
}

#[cfg(test)]
pub(super) mod tests;
