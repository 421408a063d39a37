//! The student network with every gradient, over plain slices.
//!
//! The family is fixed (see [`Shape`]), so no graph has to be recorded: [`Tape::forward`] keeps each layer's padded input
//! and raw output, [`Tape::backward`] walks the same layers from the end. Planes are `[row][column][channel]` with channels
//! filled up to a multiple of 16 by zeros, which stay zero in training because their gradients are. A tape belongs to one
//! picture and one thread; parameters are one flat vector that all tapes read.

use super::normalise::{
    add_to_plane, fold, gated_sums, moments, normalise, normalise_back, pad, spread,
};
use crate::kernels::{CHANNEL_STEP, TAPS, add_valid_weight_gradient, convolve_valid, turn_weights};

/// The picture is taken apart into blocks of this many pixels a side.
pub const BLOCK: usize = 4;

/// What a student looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Channels at a quarter of the picture's size.
    pub channels: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Channels at half of the picture's size.
    pub half: usize,
    /// Styles: rows of each normalisation's scales and shifts.
    pub styles: usize,
}

/// One convolution with its normalisation, and where its numbers lie in the flat vector.
#[derive(Clone, Debug)]
pub struct Layer {
    /// As tensors of the file are named.
    pub name: String,
    /// Input and output channels.
    pub channels: (usize, usize),
    /// Whether ReLU follows.
    pub relu: bool,
    /// Pixels of the picture per pixel of the plane, along a side.
    pub shrink: usize,
    /// Input and output channels as they are stored.
    stored: (usize, usize),
    weights: usize,
    scale: usize,
    shift: usize,
}

impl Layer {
    fn table(&self) -> usize {
        TAPS * self.stored.0 * self.stored.1
    }

    /// Index of a weight, by output and input channel and tap (row by row).
    pub fn weight(&self, output: usize, input: usize, tap: usize) -> usize {
        self.weights + (tap * self.stored.0 + input) * self.stored.1 + output
    }

    /// Indices of a style's scale and shift of a channel.
    pub fn norm(&self, style: usize, channel: usize) -> (usize, usize) {
        let at = style * self.stored.1 + channel;
        (self.scale + at, self.shift + at)
    }
}

impl Shape {
    /// The layers in network order, and how many numbers they have together.
    pub fn layers(&self) -> (Vec<Layer>, usize) {
        let mut layers = Vec::new();
        let mut end = 0;
        let mut add = |name: String, channels: (usize, usize), relu: bool, shrink: usize| {
            let stored = (
                channels.0.next_multiple_of(CHANNEL_STEP),
                channels.1.next_multiple_of(CHANNEL_STEP),
            );
            let weights = end;
            let scale = weights + TAPS * stored.0 * stored.1;
            let shift = scale + self.styles * stored.1;
            end = shift + self.styles * stored.1;
            layers.push(Layer {
                name,
                channels,
                relu,
                shrink,
                stored,
                weights,
                scale,
                shift,
            });
        };
        add("enter".into(), (3 * BLOCK * BLOCK, self.channels), true, 4);
        for block in 0..self.blocks {
            for part in 0..2 {
                let name = format!("residual.{block}.{part}");
                add(name, (self.channels, self.channels), part == 0, 4);
            }
        }
        add("expand.0".into(), (self.channels, 4 * self.half), true, 4);
        add("expand.1".into(), (self.half, 12), false, 2);
        (layers, end)
    }
}

/// What one layer keeps of its forward pass.
#[derive(Default)]
struct Kept {
    input: Vec<f32>,
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
    size: (usize, usize),
    kept: Vec<Kept>,
    style: Vec<(usize, f32)>,
    /// `[3][height][width]`, 0..1.
    output: Vec<f32>,
    plane: Vec<f32>,
    trunk: Vec<f32>,
    gradient: Vec<f32>,
    back: Vec<f32>,
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
        Self {
            kept: layers.iter().map(|_| Kept::default()).collect(),
            layers,
            size: (0, 0),
            style: Vec::new(),
            output: Vec::new(),
            plane: Vec::new(),
            trunk: Vec::new(),
            gradient: Vec::new(),
            back: Vec::new(),
        }
    }

    /// What [`Tape::forward`] painted last: `[3][height][width]`, 0..1; nothing of use after [`Tape::backward`].
    pub fn output(&self) -> &[f32] {
        &self.output
    }

    /// Rows and columns of a layer's plane.
    fn plane_size(&self, layer: usize) -> (usize, usize) {
        let shrink = self.layers[layer].shrink;
        (self.size.0 / shrink, self.size.1 / shrink)
    }

    /// Paints `picture`, `[3][height][width]` with values 0..1 and sides that are multiples of 4 and 8 or more, in a blend
    /// of styles (row, weight). Returns `[3][height][width]`, 0..1.
    pub fn forward(
        &mut self,
        parameters: &[f32],
        style: &[(usize, f32)],
        picture: &[f32],
        (height, width): (usize, usize),
    ) -> &[f32] {
        assert_eq!(
            (picture.len(), height % BLOCK, width % BLOCK),
            (3 * height * width, 0, 0)
        );
        self.size = (height, width);
        self.style = style.to_vec();
        let last = self.layers.len() - 1;
        let quarter = self.plane_size(0);
        cleared(&mut self.plane, quarter.0 * quarter.1 * 3 * BLOCK * BLOCK);
        unshuffle(picture, (height, width), BLOCK, 48, &mut self.plane);
        pad(&self.plane, quarter, 48, &mut self.kept[0].input);
        for layer in 0..=last {
            self.convolve(parameters, layer);
            let size = self.plane_size(layer);
            let stored = self.layers[layer].stored.1;
            match layer {
                _ if layer == last => {
                    cleared(&mut self.output, 3 * height * width);
                    shuffle(&self.plane, size, 2, stored, &mut self.output);
                    for value in &mut self.output {
                        *value = 1.0 / (1.0 + (-*value).exp());
                    }
                    return &self.output;
                }
                _ if layer + 1 == last => {
                    let next = self.plane_size(last);
                    let half = self.layers[last].stored.0;
                    cleared(&mut self.back, next.0 * next.1 * half);
                    spread(&self.plane, size, stored, half, &mut self.back);
                    pad(&self.back, next, half, &mut self.kept[last].input);
                }
                _ => {
                    if layer > 0 && layer % 2 == 0 {
                        add_to_plane(&self.kept[layer - 1].input, size, stored, &mut self.plane);
                    }
                    pad(&self.plane, size, stored, &mut self.kept[layer + 1].input);
                }
            }
        }
        &self.output
    }

    /// Convolution, normalisation and ReLU of a layer, to `plane`.
    fn convolve(&mut self, parameters: &[f32], layer: usize) {
        let size = self.plane_size(layer);
        let shape = &self.layers[layer];
        let kept = &mut self.kept[layer];
        let stored = shape.stored.1;
        kept.raw.resize(size.0 * size.1 * stored, 0.0);
        let weights = &parameters[shape.weights..][..shape.table()];
        convolve_valid(weights, shape.stored, &kept.input, size, &mut kept.raw);
        cleared(&mut kept.mean, stored);
        cleared(&mut kept.inverse, stored);
        moments(&kept.raw, &mut kept.mean, &mut kept.inverse);
        cleared(&mut kept.scale, stored);
        cleared(&mut kept.shift, stored);
        for &(row, weight) in &self.style {
            for channel in 0..stored {
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

    /// Adds to `gradients` those of the parameters, from `upstream`, the gradient of what [`Tape::forward`] returned. The
    /// `turned` weights are [`turned_weights`] of the same parameters.
    pub fn backward(&mut self, turned: &[f32], upstream: &[f32], gradients: &mut [f32]) {
        assert_eq!(upstream.len(), self.output.len());
        let last = self.layers.len() - 1;
        let half = self.plane_size(last);
        for (value, gradient) in self.output.iter_mut().zip(upstream) {
            *value *= (1.0 - *value) * gradient;
        }
        let stored = self.layers[last].stored.1;
        cleared(&mut self.plane, half.0 * half.1 * stored);
        unshuffle(&self.output, self.size, 2, stored, &mut self.plane);
        self.layer_back(last, turned, gradients);
        let (from, to) = (self.layers[last].stored.0, self.layers[last - 1].stored.1);
        let quarter = self.plane_size(0);
        std::mem::swap(&mut self.plane, &mut self.back);
        cleared(&mut self.plane, quarter.0 * quarter.1 * to);
        gather(&self.back, quarter, from, to, &mut self.plane);
        self.layer_back(last - 1, turned, gradients);
        for layer in (1..last - 1).rev() {
            if layer % 2 == 0 {
                self.trunk.clone_from(&self.plane);
            }
            self.layer_back(layer, turned, gradients);
            if layer % 2 == 1 {
                for (value, trunk) in self.plane.iter_mut().zip(&self.trunk) {
                    *value += trunk;
                }
            }
        }
        self.layer_back(0, turned, gradients);
    }

    /// From the gradient of a layer's output in `plane` to that of its input.
    fn layer_back(&mut self, layer: usize, turned: &[f32], gradients: &mut [f32]) {
        let size = self.plane_size(layer);
        let shape = &self.layers[layer];
        let (ins, outs) = shape.stored;
        let kept = &self.kept[layer];
        let (mut shift, mut scale) = (vec![0.0; outs], vec![0.0; outs]);
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
            for channel in 0..outs {
                let at = shape.norm(row, channel);
                gradients[at.0] += weight * scale[channel];
                gradients[at.1] += weight * shift[channel];
            }
        }
        cleared(&mut self.gradient, (size.0 + 4) * (size.1 + 4) * outs);
        normalise_back(
            &kept.raw,
            &kept.mean,
            &kept.inverse,
            &kept.scale,
            &shift,
            &scale,
            &self.plane,
            size.1,
            &mut self.gradient,
        );
        let sums = &mut gradients[shape.weights..][..shape.table()];
        add_valid_weight_gradient(&kept.input, &self.gradient, shape.stored, size, sums);
        if layer == 0 {
            return;
        }
        let padded = (size.0 + 2, size.1 + 2);
        self.back.resize(padded.0 * padded.1 * ins, 0.0);
        let weights = &turned[shape.weights..][..shape.table()];
        convolve_valid(weights, (outs, ins), &self.gradient, padded, &mut self.back);
        self.plane.resize(size.0 * size.1 * ins, 0.0);
        fold(&mut self.back, size, ins, &mut self.plane);
    }
}

/// The weights of all layers as their input gradients need them, at the same places in a flat vector.
pub fn turned_weights(shape: &Shape, parameters: &[f32], turned: &mut Vec<f32>) {
    turned.resize(parameters.len(), 0.0);
    for layer in shape.layers().0 {
        let table = layer.weights..layer.weights + layer.table();
        turn_weights(&parameters[table.clone()], layer.stored, &mut turned[table]);
    }
}

/// Takes `picture`, `[3][height][width]`, apart into `[row][column][colour, row of the block, column of the block]`, with
/// `stored` channels.
fn unshuffle(
    picture: &[f32],
    (height, width): (usize, usize),
    block: usize,
    stored: usize,
    plane: &mut [f32],
) {
    for (n, row) in picture.chunks_exact(width).enumerate() {
        let (color, y) = (n / height, n % height);
        let first = (color * block + y % block) * block;
        let line = &mut plane[y / block * (width / block) * stored..][..width / block * stored];
        for (values, pixel) in row.chunks_exact(block).zip(line.chunks_exact_mut(stored)) {
            pixel[first..first + block].copy_from_slice(values);
        }
    }
}

/// The reverse of [`unshuffle`] for a plane of `rows` × `columns`.
fn shuffle(
    plane: &[f32],
    (rows, columns): (usize, usize),
    block: usize,
    stored: usize,
    picture: &mut [f32],
) {
    let (height, width) = (rows * block, columns * block);
    for (n, row) in picture.chunks_exact_mut(width).enumerate() {
        let (color, y) = (n / height, n % height);
        let first = (color * block + y % block) * block;
        let line = &plane[y / block * columns * stored..][..columns * stored];
        for (values, pixel) in row.chunks_exact_mut(block).zip(line.chunks_exact(stored)) {
            values.copy_from_slice(&pixel[first..first + block]);
        }
    }
}

/// The gradient of [`spread`]: from `[2 rows][2 columns][from]` to `[rows][columns][to]`.
fn gather(
    fine: &[f32],
    (rows, columns): (usize, usize),
    from: usize,
    to: usize,
    plane: &mut [f32],
) {
    for y in 0..2 * rows {
        for x in 0..2 * columns {
            let values = &fine[(y * 2 * columns + x) * from..][..from];
            let pixel = &mut plane[(y / 2 * columns + x / 2) * to..][..to];
            let part = y % 2 * 2 + x % 2;
            for (channel, value) in values.iter().enumerate().take(to / 4) {
                pixel[channel * 4 + part] = *value;
            }
        }
    }
}
