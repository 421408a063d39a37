//! What is minimised: content, style, smoothness and steadiness of one picture, with its gradient.
//!
//! Every term is relative, so that one set of weights fits every picture and painting. *Content* is the squared
//! difference of features over the squared features; *style* the squared Frobenius distance of Gram matrices over that
//! of the painting's own; both are 0 when equal (content, which is kept in bf16, nearly) and near the sum of their shares for
//! unrelated pictures. Pixel losses are means in units of 255².
//!
//! A Gram matrix belongs to the whole picture. Of a picture in one tile the features are computed once, compared, and led
//! back; of one in several, a first pass over the tiles sums the matrices and a second one leads back.

use crate::{
    kernels::{add_out_of_range, add_total_variation, add_weighted_difference},
    nn::vgg::{from_input, layer_number},
    stylize::StylizeError,
};

use super::{
    canvas::Canvas,
    features::{DeviceVector, Features, Term},
    style::{Guide, Look, Point, StyleTarget},
    tiles::{Tile, Tiles},
};

/// Weight of what lies outside of 0..255.
const RANGE_WEIGHT: f32 = 30.0;

/// How much each term counts.
#[derive(Clone, Debug, PartialEq)]
pub struct LossWeights {
    /// Content.
    pub content: f32,
    /// Style, over all its layers.
    pub style: f32,
    /// Total variation.
    pub variation: f32,
    /// Difference to the painting before, carried along the motion.
    pub temporal: f32,
    /// Layers that content is compared in, with their shares.
    pub content_layers: Vec<(usize, f32)>,
    /// Layers that style is compared in, with their shares.
    pub style_layers: Vec<(usize, f32)>,
}

impl Default for LossWeights {
    /// What was found to paint every surface and to keep faces of 75 pixels. Of the style's layers the last convolutions of a
    /// block make strokes, the first ones a maze of lines, and those of the fourth block and after lose faces; the content's
    /// second layer keeps eyes and mouths where they are (`benches/optimize.md`).
    fn default() -> Self {
        Self {
            content: 1.0,
            style: 10.0,
            variation: 14.0,
            temporal: 100.0,
            content_layers: layers(&[("relu4_2", 1.0), ("relu2_2", 0.7)]),
            style_layers: layers(&[("relu1_1", 0.6), ("relu2_2", 0.2), ("relu3_3", 0.2)]),
        }
    }
}

/// Layers of VGG-16 by their names, such as `relu4_2`, with their shares; names that are no layers are left out.
#[must_use]
pub fn layers(names: &[(&str, f32)]) -> Vec<(usize, f32)> {
    names
        .iter()
        .filter_map(|&(name, share)| Some((layer_number(name)?, share)))
        .collect()
}

/// The loss and its terms, each with its weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Losses {
    /// All together.
    pub total: f64,
    /// Content.
    pub content: f64,
    /// Style.
    pub style: f64,
    /// Total variation, and what is out of range.
    pub variation: f64,
    /// Temporal.
    pub temporal: f64,
}

/// A picture that the painting is drawn to, and where.
#[derive(Clone, Debug)]
pub(super) struct Anchor {
    /// Planes of the canvas.
    pub(super) target: Vec<f32>,
    /// One plane, 0..1.
    pub(super) confidence: Vec<f32>,
}

/// A part of the painting and what it is drawn to.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) style: &'a StyleTarget,
    /// Which part; `None`: all of it.
    pub(super) guide: Option<&'a Guide>,
}

/// The loss of one canvas.
pub(super) struct Objective<'a> {
    network: &'a mut dyn Features,
    weights: &'a LossWeights,
    parts: Vec<Part<'a>>,
    tiles: Tiles,
    content: Content,
    anchors: &'a [Anchor],
    size: (usize, usize),
    wanted: Vec<usize>,
    input: Vec<f32>,
}

/// Features of the content.
#[derive(Default)]
struct Content {
    /// By tile and content layer: what the network calls the features that it keeps.
    kept: Vec<Vec<usize>>,
    /// By content layer: the sum of their squares.
    norms: Vec<f64>,
}

impl<'a> Objective<'a> {
    /// The loss of a painting of `content`, worked on in `tiles`.
    ///
    /// # Errors
    /// When the network's device fails.
    pub(super) fn new(
        network: &'a mut dyn Features,
        weights: &'a LossWeights,
        parts: Vec<Part<'a>>,
        content: &Canvas,
        anchors: &'a [Anchor],
        tiles: Tiles,
    ) -> Result<Self, StylizeError> {
        let fields = tiles.tiles.iter().map(Tile::size);
        let largest = fields.map(|(height, width)| height * width).max();
        network.begin(largest.unwrap_or(0));
        let content_layers = numbers(&weights.content_layers);
        let mut wanted = content_layers.clone();
        wanted.extend(numbers(&weights.style_layers));
        wanted.sort_unstable();
        wanted.dedup();
        let mut objective = Self {
            network,
            weights,
            parts,
            tiles,
            content: Content::default(),
            anchors,
            size: content.size.pair(),
            wanted,
            input: Vec::new(),
        };
        if !content_layers.is_empty() {
            objective.look_at_content(&content.planes, &content_layers)?;
        }
        Ok(objective)
    }

    fn look_at_content(&mut self, planes: &[f32], layers: &[usize]) -> Result<(), StylizeError> {
        self.content.norms = vec![0.0; layers.len()];
        for tile in &self.tiles.tiles {
            self.tiles.load(tile, planes, &mut self.input);
            self.network.forward(&self.input, tile.size(), layers)?;
            for (&layer, norm) in layers.iter().zip(&mut self.content.norms) {
                let stride = self.network.stride(layer);
                let counts = self.tiles.weights(tile, stride, None);
                *norm += self.network.squares(layer, counts.as_deref())?;
            }
            let kept = layers.iter().map(|&layer| self.network.keep(layer));
            self.content.kept.push(kept.collect());
        }
        let norms = self.content.norms.iter_mut();
        norms.for_each(|norm| *norm = norm.max(1e-12));
        Ok(())
    }

    /// As [`Objective::evaluate`], of a canvas in one tile that lies on the network's device, where what canvases are held to
    /// lies too ([`DeviceFeatures::hold`](super::features::DeviceFeatures::hold)).
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn evaluate_on_device(
        &mut self,
        x: &DeviceVector,
        gradient: &mut DeviceVector,
    ) -> Result<Losses, StylizeError> {
        let mut losses = Losses::default();
        let mut slopes = Vec::new();
        let mut terms = Vec::new();
        if !self.wanted.is_empty() {
            slopes = self.compare_styles(&Point::Device(x), &mut losses)?;
            terms = self.terms(0, &slopes);
        }
        let (size, weights) = (self.size, self.weights);
        let device = self.network.on_device();
        let device = device.expect("a canvas on a device is its network's");
        let (content, begun) = device.backward_canvas(&terms, &slopes, size, gradient)?;
        losses.content = content;
        let weights = [weights.variation, RANGE_WEIGHT, weights.temporal];
        [losses.variation, losses.temporal] =
            device.pixel_losses(x, gradient, size, weights, begun)?;
        losses.total = losses.content + losses.style + losses.variation + losses.temporal;
        Ok(losses)
    }

    /// The loss of the planes `x`; fills their gradient.
    ///
    /// # Errors
    /// When the network's device fails.
    pub(super) fn evaluate(
        &mut self,
        x: &[f32],
        gradient: &mut [f32],
    ) -> Result<Losses, StylizeError> {
        let mut losses = Losses::default();
        gradient.fill(0.0);
        if !self.wanted.is_empty() {
            let slopes = self.compare_styles(&Point::Processor(x), &mut losses)?;
            self.go_back(x, &slopes, &mut losses, gradient)?;
        }
        let weights = self.weights;
        losses.variation = add_total_variation(x, self.size, weights.variation, gradient)
            + add_out_of_range(x, RANGE_WEIGHT, gradient);
        for Anchor { target, confidence } in self.anchors {
            losses.temporal +=
                add_weighted_difference(x, target, confidence, weights.temporal, gradient);
        }
        losses.total = losses.content + losses.style + losses.variation + losses.temporal;
        Ok(losses)
    }

    /// Adds weight · ‖G − target‖² / ‖target‖² of every part and layer to `losses`, weighed by how much of the picture the
    /// part is; returns the matrices that make the gradient by the features of them, by part and layer.
    fn compare_styles(
        &mut self,
        x: &Point<'_>,
        losses: &mut Losses,
    ) -> Result<Vec<Vec<Vec<f32>>>, StylizeError> {
        let layers = numbers(&self.weights.style_layers);
        let guides: Vec<_> = self.parts.iter().map(|part| part.guide).collect();
        let wanted = match self.tiles.tiles.len() {
            1 => &self.wanted,
            _ => &layers,
        };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut look = Look {
            network: &mut *self.network,
            input: &mut self.input,
        };
        let grams = look.grams(&self.tiles, x, (wanted, &layers), &guides)?;
        let mut slopes = Vec::with_capacity(grams.len());
        for (grams, part) in grams.into_iter().zip(&self.parts) {
            let mut matrices = grams.into_matrices();
            let entries = self.weights.style_layers.iter().zip(&part.style.grams);
            for (matrix, (&(layer, share), (target, norm))) in matrices.iter_mut().zip(entries) {
                let stride = self.network.stride(layer);
                let pixels = (self.size.0 * self.size.1 / (stride * stride)) as f64;
                let counted = part.guide.map_or(pixels, |guide| guide.at(stride).1);
                let weight = f64::from(self.weights.style * share) * counted / pixels;
                let mut sum = 0.0;
                for (value, target) in matrix.iter_mut().zip(target) {
                    *value -= target;
                    sum += f64::from(*value).powi(2);
                }
                losses.style += weight * sum / norm;
                // ∂/∂G is 2·weight·(G − target)/‖target‖², and the gradient by F 2/Σw times that times F, weighed.
                let scale = (4.0 * weight / (norm * counted.max(1e-6))) as f32;
                matrix.iter_mut().for_each(|value| *value *= scale);
            }
            slopes.push(matrices);
        }
        Ok(slopes)
    }

    /// Adds the content's loss, and the gradient of both losses on features.
    fn go_back(
        &mut self,
        x: &[f32],
        slopes: &[Vec<Vec<f32>>],
        losses: &mut Losses,
        gradient: &mut [f32],
    ) -> Result<(), StylizeError> {
        let several = self.tiles.tiles.len() > 1;
        let mut found = Vec::new();
        for number in 0..self.tiles.tiles.len() {
            let terms = self.terms(number, slopes);
            let Self {
                network,
                tiles,
                wanted,
                input,
                ..
            } = self;
            let tile = &tiles.tiles[number];
            if several {
                tiles.load(tile, x, input);
                network.forward(input, tile.size(), wanted)?;
                found.clear();
                found.resize(3 * tile.size().0 * tile.size().1, 0.0);
                losses.content += network.backward(wanted, &terms, slopes, &mut found)?;
                from_input(&mut found);
                tiles.add(tile, &found, gradient);
            } else {
                losses.content += network.backward(wanted, &terms, slopes, gradient)?;
                from_input(gradient);
            }
        }
        Ok(())
    }

    /// What leads back from the features of a tile.
    fn terms(&self, number: usize, slopes: &[Vec<Vec<f32>>]) -> Vec<Term> {
        let tile = &self.tiles.tiles[number];
        let mut terms = Vec::new();
        for (place, &(layer, _)) in self.weights.style_layers.iter().enumerate() {
            let stride = self.network.stride(layer);
            for (part, entry) in self.parts.iter().enumerate().take(slopes.len()) {
                let guide = entry.guide.map(|guide| guide.at(stride).0);
                terms.push(Term::Style {
                    layer,
                    matrix: (part, place),
                    weights: self.tiles.weights(tile, stride, guide),
                });
            }
        }
        for (place, &(layer, share)) in self.weights.content_layers.iter().enumerate() {
            terms.push(Term::Content {
                layer,
                kept: self.content.kept[number][place],
                weights: self.tiles.weights(tile, self.network.stride(layer), None),
                scale: f64::from(self.weights.content * share) / self.content.norms[place],
            });
        }
        terms
    }
}

fn numbers(layers: &[(usize, f32)]) -> Vec<usize> {
    layers.iter().map(|(layer, _)| *layer).collect()
}
