//! What a painting by optimisation is made with.

use std::{str::FromStr, sync::Arc, time::Duration};

use super::LossWeights;
use crate::{frame::Picture, kernels::Pooling};

/// How the loss is brought down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// L-BFGS: several times fewer steps.
    Lbfgs,
    /// Adam, with steps of `rate` pixel values.
    Adam {
        /// Size of a step, in 1/255.
        rate: f32,
    },
}

/// How much work goes into a painting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    /// To choose a style by.
    Draft,
    /// Strokes are all there.
    #[default]
    Good,
    /// Until hardly anything changes.
    Best,
}

/// A quality that is none of the three.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no quality: use draft, good or best")]
pub struct UnknownQuality(String);

impl FromStr for Quality {
    type Err = UnknownQuality;

    fn from_str(text: &str) -> Result<Self, UnknownQuality> {
        match text {
            "draft" => Ok(Self::Draft),
            "good" => Ok(Self::Good),
            "best" => Ok(Self::Best),
            other => Err(UnknownQuality(other.to_owned())),
        }
    }
}

impl Quality {
    /// Steps at full size, of a picture on its own.
    #[must_use]
    pub fn iterations(self) -> usize {
        match self {
            Self::Draft => 10,
            Self::Good => 30,
            Self::Best => 120,
        }
    }
}

/// What [`super::Optimize`] is made with.
#[derive(Clone, Debug)]
pub struct OptimizeSettings {
    /// Pictures of the style, each with its weight.
    pub styles: Vec<(Arc<Picture>, f32)>,
    /// Those of the rest, where a region is painted in `styles`; [`super::Optimize::with_background`] sets them.
    pub background: Vec<(Arc<Picture>, f32)>,
    /// Size of the style's strokes: at 1 the style picture is brought to as many pixels as the painting has.
    pub style_scale: f32,
    /// What is minimised.
    pub losses: LossWeights,
    /// Steps at full size.
    pub iterations: usize,
    /// Steps at full size, of a picture that starts from the one before.
    pub next_iterations: usize,
    /// Time for one picture at most.
    pub budget: Option<Duration>,
    /// Whether a quarter and half of the size are painted first.
    pub coarse_to_fine: bool,
    /// Stop a size when the loss falls by less than this share in ten steps; 0: never.
    pub settled: f64,
    /// How the loss is brought down.
    pub method: Method,
    /// Pooling of the loss network.
    pub pooling: Pooling,
    /// Whether a painting is held to older ones too, where the one before does not show what is there.
    pub long_term: bool,
    /// Bytes of memory to keep to: larger pictures are worked on in tiles.
    pub memory: usize,
    /// Threads of the optical flow; the loss network takes rayon's.
    pub threads: usize,
}

impl OptimizeSettings {
    /// The usual settings of `quality` for these style pictures.
    #[must_use]
    pub fn new(styles: Vec<(Arc<Picture>, f32)>, quality: Quality) -> Self {
        let iterations = quality.iterations();
        Self {
            styles,
            background: Vec::new(),
            style_scale: 1.0,
            losses: LossWeights::default(),
            iterations,
            next_iterations: iterations.div_ceil(5),
            budget: None,
            coarse_to_fine: true,
            settled: 0.0,
            method: Method::Lbfgs,
            pooling: Pooling::Average,
            long_term: true,
            memory: 4 << 30,
            threads: 2,
        }
    }
}
