//! The convolutions of a step: in vector registers, or in the matrix unit of processors that have one.
//!
//! The unit multiplies bf16 numbers, so there planes and weights are rounded to them on their way in; sums, parameters,
//! gradients and everything between two convolutions stay `f32`. Which of the two it is belongs to the weights, and a tape
//! goes along.

use super::super::normalise::{pad, place};
use super::{Layer, Shape, cleared};
use crate::kernels::{
    HalfPlane, Precision, TileWeights, add_valid_weight_gradient, add_weight_gradient_in_tiles,
    convolve_in_tiles, convolve_valid, has_tiles, turn_weights,
};

/// The parameters of a step as the convolutions need them.
pub struct Convolutions {
    parameters: Vec<f32>,
    /// The 3×3 convolution of each layer, `[tap][input][output]`.
    tables: Vec<f32>,
    /// The same for the gradients of the inputs.
    turned: Vec<f32>,
    in_tiles: bool,
    /// Both of each layer for the matrix unit.
    tiles: Vec<[TileWeights; 2]>,
}

impl Default for Convolutions {
    fn default() -> Self {
        Self::new(Precision::Auto)
    }
}

impl Convolutions {
    /// In `f32`, or for any other precision in the matrix unit where there is one.
    pub fn new(precision: Precision) -> Self {
        Self {
            parameters: Vec::new(),
            tables: Vec::new(),
            turned: Vec::new(),
            in_tiles: precision != Precision::F32 && has_tiles(),
            tiles: Vec::new(),
        }
    }

    /// Takes over `parameters` of networks of that shape.
    pub fn update(&mut self, shape: &Shape, parameters: &[f32]) {
        self.parameters.clear();
        self.parameters.extend_from_slice(parameters);
        let layers = shape.layers().0;
        let length = layers.last().map_or(0, |layer| layer.table().end);
        cleared(&mut self.tables, length);
        self.turned.resize(length, 0.0);
        self.tiles.resize_with(layers.len(), Default::default);
        let tables = layers.iter().zip(&mut self.tiles);
        for (layer, tiles) in tables.filter(|(layer, _)| layer.is_table()) {
            let (kernel, table) = (&parameters[layer.kernel()], &mut self.tables[layer.table()]);
            if layer.is_folded() {
                layer.folds(|run, to| {
                    let values = &kernel[run..run + layer.normed];
                    let sums = table[to..].iter_mut().zip(values);
                    sums.for_each(|(sum, value)| *sum += value);
                });
            } else {
                table.copy_from_slice(kernel);
            }
            let turned = &mut self.turned[layer.table()];
            turn_weights(table, layer.stored, turned);
            if self.in_tiles {
                let (inputs, outputs) = layer.stored;
                tiles[0].pack(table, layer.stored);
                tiles[1].pack(turned, (outputs, inputs));
            }
        }
    }

    pub(super) fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    /// Pads `plane`, `[rows][columns][channels]`, where `channels` are how many there are and how many are stored.
    pub(super) fn pad(
        &self,
        plane: &[f32],
        size: (usize, usize),
        channels: (usize, usize),
        input: &mut Padded,
    ) {
        match self.in_tiles {
            true => input.half.pad(plane, size, channels),
            false => pad(plane, size, channels, &mut input.single),
        }
    }

    /// A layer's convolution.
    pub(super) fn forward(
        &self,
        at: usize,
        layer: &Layer,
        input: &Padded,
        size: (usize, usize),
        output: &mut [f32],
    ) {
        if self.in_tiles {
            convolve_in_tiles(&self.tiles[at][0], &input.half, size, output);
        } else {
            let weights = &self.tables[layer.table()];
            convolve_valid(weights, layer.stored, &input.single, size, output);
        }
    }
}

/// A layer's padded input, in the form that the weights ask for.
#[derive(Default)]
pub(super) struct Padded {
    single: Vec<f32>,
    half: HalfPlane,
}

/// A gradient of a convolution's output on its way through that convolution.
#[derive(Default)]
pub(super) struct Room {
    in_tiles: bool,
    padded: Vec<f32>,
    half: HalfPlane,
    pairs: HalfPlane,
    turned: HalfPlane,
}

impl Room {
    /// Takes the gradient `plane`, `[rows][columns][channels]`.
    pub(super) fn take(
        &mut self,
        weights: &Convolutions,
        plane: &[f32],
        size: (usize, usize),
        channels: usize,
    ) {
        self.in_tiles = weights.in_tiles;
        if self.in_tiles {
            self.half.place(plane, size, channels);
            self.pairs.pair_up(plane, size, channels);
        } else {
            cleared(&mut self.padded, (size.0 + 4) * (size.1 + 4) * channels);
            place(plane, size, channels, &mut self.padded);
        }
    }

    /// Adds the gradient of the weights, `[tap][input][output]`.
    pub(super) fn add_weights(
        &mut self,
        input: &Padded,
        channels: (usize, usize),
        size: (usize, usize),
        sums: &mut [f32],
    ) {
        if self.in_tiles {
            self.turned.turn(&input.half, size, channels.0);
            add_weight_gradient_in_tiles(&self.turned, &self.pairs, channels, size, sums);
        } else {
            add_valid_weight_gradient(&input.single, &self.padded, channels, size, sums);
        }
    }

    /// Writes the gradient of the padded input.
    pub(super) fn input(
        &self,
        weights: &Convolutions,
        at: usize,
        layer: &Layer,
        size: (usize, usize),
        back: &mut [f32],
    ) {
        let padded = (size.0 + 2, size.1 + 2);
        let (inputs, outputs) = layer.stored;
        if self.in_tiles {
            convolve_in_tiles(&weights.tiles[at][1], &self.half, padded, back);
        } else {
            let weights = &weights.turned[layer.table()];
            convolve_valid(weights, (outputs, inputs), &self.padded, padded, back);
        }
    }
}
