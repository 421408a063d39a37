//! A layer as shaders see it: how it is cut into groups of threads, its source and its weights.

use super::template::expand;
use crate::kernels::{
    ConvolutionWeights, Entry, LayerShape, NetworkShape, TransformWeights, Upsample,
    fold_upsampling, pad_blocks,
};

/// Threads of a group, across and down.
const GROUP: (usize, usize) = (16, 8);

/// A level of a colour `v` is taken as `(v - 128) / 256`, which half precision holds; the weights of the first layer are
/// larger by this, and what its outputs lack is a constant: normalisation takes it away, or the bias has it.
const LEVELS: f32 = 256.0 / 255.0;

/// How a layer is cut into groups of threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    shape: LayerShape,
    /// Side of the kernel; 0 a tensor, 1 a picture, 2 blocks of its pixels; channels of four that are not zero.
    side: usize,
    source: usize,
    terms: usize,
    /// Whether the layer before it is normalised, and whether a ReLU follows that.
    scaled: bool,
    relu: bool,
    /// Whether the input is in single precision, and the output.
    single: bool,
    single_output: bool,
    /// Times four channels of the input, and of the output as it is stored.
    pub(super) fours: usize,
    pub(super) stored: usize,
    /// Pixels of a row that a thread makes, times four outputs of each, and groups that make all outputs.
    pixels: usize,
    pub(super) quads: usize,
    pub(super) groups: usize,
    /// Whether its input is added to what the residual blocks made before, and whether the sum is kept.
    pub(super) added: bool,
    pub(super) kept: bool,
}

impl Form {
    /// That of a layer whose input has `fours` times four channels.
    fn new(network: NetworkShape, index: usize, fours: usize, single: bool) -> Self {
        let shape = network.layer(index);
        let stored = shape.out_channels.div_ceil(4);
        let all = stored * shape.upsample.map_or(1, |_| 4);
        let quads = match all {
            0 | 1 => 1,
            2 | 3 => 2,
            _ => 4,
        };
        let source = match (index, network.entry) {
            (0, Entry::Contract { .. }) => 1,
            (0, Entry::Unshuffle { .. }) => 2,
            _ => 0,
        };
        let (residual, expanding) = (network.residual(), network.expanding());
        let single = |index: usize| single && index < residual && network.layer(index).normalised;
        let block = (residual..=expanding).contains(&index) && (index - residual).is_multiple_of(2);
        Self {
            shape,
            // Folded upsampling has the side of the kernel that is folded.
            side: shape.kernel_size,
            source,
            terms: if source == 1 { 3 } else { 4 },
            scaled: index > 0 && network.layer(index - 1).normalised,
            relu: index > 0 && network.layer(index - 1).relu,
            single: index > 0 && single(index - 1),
            single_output: single(index),
            fours,
            stored,
            // The patch of two rows of a layer that halves the size is four times as large.
            pixels: if shape.stride == 1 { 4 } else { 2 },
            quads,
            groups: all.div_ceil(quads),
            added: block && index > residual,
            kept: block && index < expanding,
        }
    }

    /// The forms of a network's layers. With `single`, outputs of the normalised layers before the trunk are in single
    /// precision: smooth parts of a picture are almost constant there, and the style enlarges their rounding errors.
    pub(super) fn all(network: NetworkShape, single: bool) -> Vec<Self> {
        let mut forms: Vec<Self> = Vec::new();
        for index in 0..network.layers() {
            let fours = match (forms.last(), network.entry) {
                (Some(before), _) => before.stored,
                (None, Entry::Contract { .. }) => 1,
                (None, Entry::Unshuffle { .. }) => 12,
            };
            forms.push(Self::new(network, index, fours, single));
        }
        forms
    }

    /// Whether instance normalisation follows.
    pub(super) fn normalised(&self) -> bool {
        self.shape.normalised
    }

    /// Pixels of a group's output, across and down.
    pub(super) fn tile(&self) -> (usize, usize) {
        (GROUP.0 * self.pixels, GROUP.1)
    }

    /// Pixels that are stored of one that is computed.
    pub(super) fn places(&self) -> usize {
        self.shape.upsample.map_or(1, |_| 4)
    }

    /// Bytes of four channels of a stored pixel.
    pub(super) fn bytes(&self) -> usize {
        if self.single_output { 16 } else { 8 }
    }

    /// The size of the output.
    pub(super) fn out_size(&self, (width, height): (usize, usize)) -> (usize, usize) {
        let stride = self.shape.stride;
        (width.div_ceil(stride), height.div_ceil(stride))
    }

    /// The size of the stored output.
    pub(super) fn stored_size(&self, (width, height): (usize, usize)) -> (usize, usize) {
        let times = self.shape.upsample.map_or(1, |_| 2);
        (times * width, times * height)
    }

    /// The source of its shader.
    pub(super) fn shader(&self) -> String {
        let (across, down) = GROUP;
        let own = self.shape;
        let reach = |outputs: usize| (outputs - 1) * own.stride + self.side;
        let patch = reach(across * self.pixels) * reach(down);
        let sums = if own.normalised {
            2 * across * down * self.quads
        } else {
            0
        };
        let numbers = [
            ("SIDE", self.side),
            ("STRIDE", own.stride),
            ("ACROSS", across),
            ("DOWN", down),
            ("PIXELS", self.pixels),
            ("QUADS", self.quads),
            ("ROOM", patch.max(sums)),
            ("SOURCE", self.source),
            ("FOURS", self.fours),
            ("TERMS", self.terms),
        ];
        let flags = [
            ("SCALED", self.scaled),
            ("RELU", self.relu),
            ("SINGLE", self.single),
            ("SINGLE_OUT", self.single_output),
            ("ADDED", self.added),
            ("KEPT", self.kept),
            ("REPEATS", own.upsample == Some(Upsample::Nearest)),
            ("BIASED", !own.normalised),
            ("RELU_OUT", !own.normalised && own.relu),
            ("MOMENTS", own.normalised),
            ("SHUFFLED", own.upsample.is_some()),
        ];
        expand(include_str!("shaders/convolution.wgsl"), &numbers, &flags)
    }

    /// The weights of layer `index` as its shader reads them, and behind them its biases.
    pub(super) fn weights(&self, network: &TransformWeights, index: usize) -> Vec<f32> {
        let mut convolution = network.layers()[index].clone();
        if self.shape.upsample == Some(Upsample::Nearest) {
            convolution = fold_upsampling(&convolution);
        }
        if self.shape.upsample.is_some() {
            convolution = pad_blocks(convolution, 4 * self.stored);
        }
        let mut bias = network.bias(index).to_vec();
        if index == 0 {
            for weight in &mut convolution.weight {
                *weight *= LEVELS;
            }
            let one = convolution.weight.len() / convolution.out_channels;
            for (bias, weights) in bias.iter_mut().zip(convolution.weight.chunks_exact(one)) {
                *bias += 0.5 * weights.iter().sum::<f32>();
            }
        }
        bias.resize(4 * self.quads * self.groups, 0.0);
        let mut packed = self.pack(&convolution);
        packed.extend_from_slice(&bias);
        packed
    }

    /// `[group][times four channels][place][quad][channel][output]`: what the shader reads one after the other.
    fn pack(&self, convolution: &ConvolutionWeights) -> Vec<f32> {
        let places = self.side * self.side;
        let counts = [self.groups, self.fours, places, self.quads, self.terms, 4];
        let one = |mut i: usize| {
            let mut at = [0; 6];
            for (at, count) in at.iter_mut().zip(counts).rev() {
                (*at, i) = (i % count, i / count);
            }
            let [group, four, place, quad, term, output] = at;
            let output = 4 * (group * self.quads + quad) + output;
            let channel = 4 * four + term;
            match output < convolution.out_channels && channel < convolution.in_channels {
                true => {
                    let kernel = output * convolution.in_channels + channel;
                    convolution.weight[kernel * places + place]
                }
                false => 0.0,
            }
        };
        (0..counts.iter().product()).map(one).collect()
    }
}
