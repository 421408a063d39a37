//! The student network with every gradient, over plain slices.
//!
//! The family is fixed (see [`Shape`]), so no graph has to be recorded: [`Tape::forward`] keeps each layer's padded input
//! and raw output, [`Tape::backward`] walks the same layers from the end. Planes are `[row][column][channel]` with channels
//! filled up to a multiple of 16 by zeros, which stay zero in training because their gradients are. A tape belongs to one
//! picture and one thread; parameters are one flat vector that all tapes read.

mod convolutions;

pub use convolutions::Convolutions;

use super::normalise::{
    add, fold, gated_sums, gather, logistic_back, moments, normalise, normalise_back, spread,
    unshuffle,
};
use crate::kernels::{CHANNEL_STEP, TAPS, logistic};
use crate::nn::student_net::{StudentConfig, Upsampling, source_tap};
use convolutions::{Padded, Room};

/// The picture is taken apart into blocks of this many pixels a side.
pub const BLOCK: usize = 4;

/// What a student looks like: of [`StudentConfig`] those without a refining layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The network.
    pub config: StudentConfig,
    /// Styles: rows of each normalisation's scales and shifts.
    pub styles: usize,
}

/// One convolution with its normalisation, and where its numbers lie in the flat vector.
#[derive(Clone, Debug)]
pub struct Layer {
    /// As tensors of the file are named.
    pub name: String,
    /// Input and output channels of the kernel, as they are in the file.
    pub channels: (usize, usize),
    /// Taps of the kernel: 9, or 25 behind nearest upsampling.
    pub taps: usize,
    /// How the outputs become blocks of 2×2 pixels, if they do.
    upsampling: Option<Upsampling>,
    /// Channels of the normalisation.
    pub normed: usize,
    /// Whether ReLU follows.
    relu: bool,
    /// Pixels of the picture per pixel of the convolution, along a side.
    shrink: usize,
    /// Input and output channels of the 3×3 convolution that is computed.
    stored: (usize, usize),
    /// Where its weights begin among those of all layers.
    table: usize,
    weights: usize,
    scale: usize,
    shift: usize,
}

impl Layer {
    fn table(&self) -> std::ops::Range<usize> {
        let taps = if self.is_table() { TAPS } else { 0 };
        self.table..self.table + taps * self.stored.0 * self.stored.1
    }

    /// Whether it is computed as a 3×3 convolution; a refining layer is not, and only kept.
    fn is_table(&self) -> bool {
        self.name != "refine"
    }

    /// Whether the parameters are those of a kernel behind nearest upsampling, which is folded before it is used.
    fn is_folded(&self) -> bool {
        self.upsampling == Some(Upsampling::Nearest)
    }

    /// Output channels as they are stored.
    fn kernel_outputs(&self) -> usize {
        if self.is_folded() {
            self.normed
        } else {
            self.stored.1
        }
    }

    /// The kernel's weights among the parameters.
    pub fn kernel(&self) -> std::ops::Range<usize> {
        self.weights..self.weights + self.taps * self.stored.0 * self.kernel_outputs()
    }

    /// Index of a weight, by output and input channel and tap (row by row).
    pub fn weight(&self, output: usize, input: usize, tap: usize) -> usize {
        self.weights + (tap * self.stored.0 + input) * self.kernel_outputs() + output
    }

    /// Calls `each` with every pair of a kernel's run of output channels and the run of the 3×3 table that it is part
    /// of, both as offsets: a tap of 5×5 falls on one tap of each of the four pixels' 3×3 kernels.
    fn folds(&self, mut each: impl FnMut(usize, usize)) {
        let (inputs, outputs) = self.stored;
        for (tap, pixel) in (0..25).flat_map(|tap| (0..4).map(move |pixel| (tap, pixel))) {
            let source = source_tap(pixel / 2, tap / 5) * 3 + source_tap(pixel % 2, tap % 5);
            for input in 0..inputs {
                let run = (tap * inputs + input) * self.normed;
                each(
                    run,
                    (source * inputs + input) * outputs + pixel * self.normed,
                );
            }
        }
    }

    /// Indices of a style's scale and shift of a channel.
    pub fn norm(&self, style: usize, channel: usize) -> (usize, usize) {
        let at = style * self.normed + channel;
        (self.scale + at, self.shift + at)
    }

    /// Rows and columns of the convolution and of the normalisation, of a picture of that size.
    fn sizes(&self, (height, width): (usize, usize)) -> [(usize, usize); 2] {
        let (rows, columns) = (height / self.shrink, width / self.shrink);
        let grown = if self.upsampling.is_some() { 2 } else { 1 };
        [(rows, columns), (rows * grown, columns * grown)]
    }
}

impl Shape {
    /// Whether this student can be trained here: one with a refining layer only up to the end of its trunk.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn check(&self) -> Result<(), String> {
        self.config.check()
    }

    /// The layers in network order, and how many numbers they have together.
    pub fn layers(&self) -> (Vec<Layer>, usize) {
        let (mut end, mut tables) = (0, 0);
        let layers = self.config.layers().into_iter().map(|layer| {
            let shape = layer.weight_shape();
            let normed = layer.out_channels;
            let computed = normed * if layer.upsampling.is_some() { 4 } else { 1 };
            let mut made = Layer {
                channels: (layer.in_channels, shape[0]),
                taps: shape[2] * shape[3],
                upsampling: layer.upsampling,
                normed,
                relu: layer.relu,
                shrink: match layer.name.as_str() {
                    "refine" => 1,
                    "expand.1" => 2,
                    _ => BLOCK,
                },
                name: layer.name,
                stored: (
                    layer.in_channels.next_multiple_of(CHANNEL_STEP),
                    computed.next_multiple_of(CHANNEL_STEP),
                ),
                table: tables,
                weights: end,
                scale: 0,
                shift: 0,
            };
            tables = made.table().end;
            made.scale = made.kernel().end;
            made.shift = made.scale + self.styles * normed;
            end = made.shift + self.styles * normed;
            made
        });
        (layers.collect(), end)
    }
}

/// What one layer keeps of its forward pass.
#[derive(Default)]
struct Kept {
    input: Padded,
    /// What is normalised.
    raw: Vec<f32>,
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

/// The forward pass of one picture, kept for its gradient.
pub struct Tape {
    layers: Vec<Layer>,
    /// Layers in front of the residual blocks.
    entry: usize,
    /// The residual blocks' layers.
    trunk_layers: std::ops::Range<usize>,
    size: (usize, usize),
    kept: Vec<Kept>,
    style: Vec<(usize, f32)>,
    /// `[height][width][3]`, 0..1.
    output: Vec<f32>,
    plane: Vec<f32>,
    trunk: Vec<f32>,
    back: Vec<f32>,
    sums: Vec<f32>,
    room: Room,
}

/// Zeros of that length in memory that is used again.
fn cleared(values: &mut Vec<f32>, length: usize) {
    values.clear();
    values.resize(length, 0.0);
}

impl Tape {
    /// A tape for networks of this shape.
    pub fn new(shape: &Shape) -> Self {
        let (layers, _) = shape.layers();
        let entry = shape.config.entry;
        Self {
            entry,
            trunk_layers: entry..entry + 2 * shape.config.blocks,
            kept: layers.iter().map(|_| Kept::default()).collect(),
            layers,
            size: (0, 0),
            style: Vec::new(),
            output: Vec::new(),
            plane: Vec::new(),
            trunk: Vec::new(),
            back: Vec::new(),
            sums: Vec::new(),
            room: Room::default(),
        }
    }

    /// What [`Tape::forward`] painted last: `[height][width][3]`, 0..1; nothing of use after [`Tape::backward`].
    pub fn output(&self) -> &[f32] {
        &self.output
    }

    /// Paints `picture`, `[height][width][3]` with values 0..1 and sides that are multiples of 4 and 8 or more, in a blend
    /// of styles (row, weight). Returns `[height][width][3]`, 0..1.
    ///
    /// # Panics
    /// When the size does not fit.
    pub fn forward(
        &mut self,
        weights: &Convolutions,
        style: &[(usize, f32)],
        picture: &[f32],
        (height, width): (usize, usize),
    ) -> &[f32] {
        self.run(weights, style, picture, (height, width), self.layers.len());
        self.output.resize(self.plane.len(), 0.0);
        logistic(&self.plane, &mut self.output);
        &self.output
    }

    /// The plane after the entry and so many residual blocks, `[height / 4][width / 4][channels]`; as for [`Tape::forward`].
    ///
    /// # Panics
    /// When the size does not fit.
    pub fn trunk(
        &mut self,
        weights: &Convolutions,
        style: &[(usize, f32)],
        picture: &[f32],
        size: (usize, usize),
        blocks: usize,
    ) -> &[f32] {
        self.run(weights, style, picture, size, self.entry + 2 * blocks);
        &self.plane
    }

    /// Whether a layer is the second of a residual block.
    fn ends_block(&self, layer: usize) -> bool {
        self.trunk_layers.contains(&layer) && (layer - self.entry) % 2 == 1
    }

    /// Runs the first `count` layers, whose result is left in `plane`.
    fn run(
        &mut self,
        weights: &Convolutions,
        style: &[(usize, f32)],
        picture: &[f32],
        (height, width): (usize, usize),
        count: usize,
    ) {
        assert_eq!(
            (picture.len(), height % BLOCK, width % BLOCK),
            (3 * height * width, 0, 0)
        );
        self.size = (height, width);
        self.style = style.to_vec();
        let last = self.layers.len() - 1;
        let quarter = self.layers[0].sizes(self.size)[0];
        let block = self.layers[0].channels.0;
        self.plane.resize(quarter.0 * quarter.1 * block, 0.0);
        unshuffle(picture, (height, width), BLOCK, &mut self.plane);
        let input = &mut self.kept[0].input;
        weights.pad(&self.plane, quarter, (block, block), input);
        for layer in 0..count {
            self.convolve(weights, layer);
            if layer == last {
                break;
            }
            if self.ends_block(layer) {
                add(&mut self.plane, &self.trunk);
            }
            if layer + 1 == count {
                break;
            }
            let size = self.layers[layer].sizes(self.size)[1];
            let channels = (self.layers[layer].normed, self.layers[layer + 1].stored.0);
            let input = &mut self.kept[layer + 1].input;
            weights.pad(&self.plane, size, channels, input);
            if self.ends_block(layer + 2) {
                // The next layer writes its plane anew.
                std::mem::swap(&mut self.plane, &mut self.trunk);
            }
        }
    }

    /// Convolution, normalisation and ReLU of a layer, to `plane`.
    fn convolve(&mut self, weights: &Convolutions, layer: usize) {
        let shape = &self.layers[layer];
        let [size, made] = shape.sizes(self.size);
        let kept = &mut self.kept[layer];
        let (stored, normed) = (shape.stored.1, shape.normed);
        let parameters = weights.parameters();
        kept.raw.resize(made.0 * made.1 * normed, 0.0);
        if shape.upsampling.is_some() {
            self.back.resize(size.0 * size.1 * stored, 0.0);
            weights.forward(layer, shape, &kept.input, size, &mut self.back);
            spread(&self.back, size, (stored, normed), &mut kept.raw);
        } else {
            weights.forward(layer, shape, &kept.input, size, &mut kept.raw);
        }
        cleared(&mut kept.mean, normed);
        cleared(&mut kept.inverse, normed);
        moments(&kept.raw, &mut kept.mean, &mut kept.inverse);
        cleared(&mut kept.scale, normed);
        cleared(&mut kept.shift, normed);
        for &(row, weight) in &self.style {
            for channel in 0..normed {
                let (scale, shift) = shape.norm(row, channel);
                kept.scale[channel] += weight * parameters[scale];
                kept.shift[channel] += weight * parameters[shift];
            }
        }
        self.plane.resize(kept.raw.len(), 0.0);
        normalise(
            &kept.raw,
            &kept.mean,
            &kept.inverse,
            &kept.scale,
            &kept.shift,
            shape.relu,
            &mut self.plane,
        );
    }

    /// Adds to `gradients` those of the parameters, from `upstream`, the gradient of what [`Tape::forward`] returned, with
    /// the same weights.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn backward(&mut self, weights: &Convolutions, upstream: &[f32], gradients: &mut [f32]) {
        assert_eq!(upstream.len(), self.output.len());
        self.plane.resize(upstream.len(), 0.0);
        logistic_back(&self.output, upstream, &mut self.plane);
        self.back_from(self.layers.len(), weights, gradients);
    }

    /// The same from `upstream`, the gradient of what [`Tape::trunk`] returned for so many blocks.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn trunk_backward(
        &mut self,
        weights: &Convolutions,
        upstream: &[f32],
        blocks: usize,
        gradients: &mut [f32],
    ) {
        assert_eq!(upstream.len(), self.plane.len());
        self.plane.copy_from_slice(upstream);
        self.back_from(self.entry + 2 * blocks, weights, gradients);
    }

    /// Walks back through the first `count` layers.
    fn back_from(&mut self, count: usize, weights: &Convolutions, gradients: &mut [f32]) {
        for layer in (0..count).rev() {
            if self.ends_block(layer) {
                self.trunk.clone_from(&self.plane);
            }
            self.layer_back(layer, weights, gradients);
            if self.ends_block(layer + 1) {
                add(&mut self.plane, &self.trunk);
            }
        }
    }

    /// From the gradient of a layer's output in `plane` to that of its input.
    fn layer_back(&mut self, layer: usize, weights: &Convolutions, gradients: &mut [f32]) {
        let shape = &self.layers[layer];
        let size = shape.sizes(self.size)[0];
        let ((ins, outs), normed) = (shape.stored, shape.normed);
        let kept = &self.kept[layer];
        let (mut shift, mut scale) = (vec![0.0; normed], vec![0.0; normed]);
        gated_sums(
            &kept.raw,
            &kept.mean,
            &kept.inverse,
            &kept.scale,
            &kept.shift,
            shape.relu,
            &mut self.plane,
            &mut shift,
            &mut scale,
        );
        for &(row, weight) in &self.style {
            for channel in 0..normed {
                let at = shape.norm(row, channel);
                gradients[at.0] += weight * scale[channel];
                gradients[at.1] += weight * shift[channel];
            }
        }
        normalise_back(
            &kept.raw,
            &kept.mean,
            &kept.inverse,
            &kept.scale,
            &shift,
            &scale,
            &mut self.plane,
        );
        if shape.upsampling.is_some() {
            cleared(&mut self.back, size.0 * size.1 * outs);
            gather(&self.plane, size, (outs, normed), &mut self.back);
            std::mem::swap(&mut self.plane, &mut self.back);
        }
        self.room.take(weights, &self.plane, size, outs);
        let own = &mut gradients[shape.kernel()];
        if shape.is_folded() {
            cleared(&mut self.sums, shape.table().len());
            let sums = &mut self.sums;
            self.room.add_weights(&kept.input, shape.stored, size, sums);
            shape.folds(|run, from| {
                let values = own[run..run + normed].iter_mut().zip(&sums[from..]);
                values.for_each(|(sum, value)| *sum += value);
            });
        } else {
            self.room.add_weights(&kept.input, shape.stored, size, own);
        }
        if layer == 0 {
            return;
        }
        self.back.resize((size.0 + 2) * (size.1 + 2) * ins, 0.0);
        self.room.input(weights, layer, shape, size, &mut self.back);
        let channels = shape.channels.0;
        self.plane.resize(size.0 * size.1 * channels, 0.0);
        fold(&mut self.back, size, (ins, channels), &mut self.plane);
    }
}

#[cfg(test)]
mod tests;
