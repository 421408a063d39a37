//! Dense optical flow: where each pixel of a picture was in the picture before, and where it is in neither.
//!
//! The method is *dense inverse search* (Kroeger, Timofte, Dai, Van Gool: "Fast optical flow using dense inverse
//! search", ECCV 2016). From the coarsest level of a picture pyramid to the finest, a grid of overlapping 8×8 patches
//! is each matched by Gauss–Newton steps whose Hessian belongs to the *template* and so is computed once ([`search`]);
//! the patches' motions are averaged into a dense field, each pixel trusting the patches that explain its own value
//! ([`densify`]); and a variational step, which wants constant brightness, constant gradients and smooth motion,
//! sharpens the field ([`refine`]). The method's words here are the field's: `backward` flow points from the current
//! picture into the previous one, so that `previous(x + backward(x)) ~ current(x)`.
//!
//! Both directions run in lockstep over the same threads, share each frame's pyramid and gradients, and a frame's
//! pyramid is kept for the next pair. Where the two directions contradict each other something was covered or
//! uncovered ([`mask`]).

mod densify;
mod estimator;
mod luma;
mod mask;
mod plan;
mod pyramid;
mod refine;
mod resample;
mod search;
mod simd;
mod threads;

#[cfg(test)]
pub(crate) mod known_motion;
#[cfg(test)]
mod tests;

pub use estimator::{FlowEstimator, Found, SpareMotions};
pub use luma::Luma;
#[cfg(any(test, feature = "cuda"))]
pub(crate) use plan::{FlowPlan, grid};

/// Motion of every pixel, in pixels of the picture it belongs to; rows packed, top row first.
///
/// Position `x` of the picture shows what position `x + (u, v)` of the other picture shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// To the right, in pixels: `height * width` values.
    pub u: Vec<f32>,
    /// Downwards, in pixels: `height * width` values.
    pub v: Vec<f32>,
}

impl Flow {
    /// No motion anywhere.
    fn stand_still(&mut self, (width, height): (usize, usize)) {
        (self.width, self.height) = (width, height);
        for plane in [&mut self.u, &mut self.v] {
            plane.clear();
            plane.resize(width * height, 0.0);
        }
    }
}

/// How much work goes into the flow. Patches and levels are those of OpenCV's `DISOpticalFlow` preset of the same name;
/// the refinement differs (`benches/flow.md`), so that each is more exact than its namesake and takes less time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowPreset {
    /// Patches of 8 every 4 pixels of the quarter-size picture, refined a little.
    UltraFast,
    /// The same, refined thoroughly.
    Fast,
    /// Patches of 8 every 3 pixels of the half-size picture, refined thoroughly.
    #[default]
    Medium,
}

/// The size at which flow is estimated; it is always handed out at the size of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowScale {
    /// The size of the picture.
    #[default]
    Full,
    /// Half the width and height: about a quarter of the time, for live use.
    Half,
}

impl FlowScale {
    /// Halvings before the preset's own.
    fn halvings(self) -> usize {
        match self {
            Self::Full => 0,
            Self::Half => 1,
        }
    }
}

/// What a [`FlowEstimator`] is made with. Pictures of 32×32 or more are what flow is made for; smaller than 8 on a side
/// there is no motion to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowSettings {
    /// Quality against time.
    pub preset: FlowPreset,
    /// The size at which flow is estimated.
    pub scale: FlowScale,
    /// Threads that work, the caller among them; the result does not depend on it.
    pub threads: usize,
}

impl Default for FlowSettings {
    fn default() -> Self {
        Self {
            preset: FlowPreset::default(),
            scale: FlowScale::default(),
            threads: 2,
        }
    }
}

/// The motion between a picture and the one before it, everything at the size of the pictures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Motion {
    /// From the current picture to the previous: `previous(x + backward(x)) ~ current(x)`.
    pub backward: Flow,
    /// From the previous picture to the current: `current(x + forward(x)) ~ previous(x)`.
    pub forward: Flow,
    /// Per pixel of the current picture: 1 where the two directions agree and the pixel comes from inside the previous
    /// picture (Ruder et al. 2016), else 0: what is newly uncovered, or not understood.
    pub consistent: Vec<u8>,
    /// Per pixel of the current picture: 1 on a motion boundary (Ruder et al. 2016), where flow is least exact, else 0.
    pub boundary: Vec<u8>,
    /// Per pixel of the current picture, 0..1: how far `backward` can be trusted. Falls smoothly from 1 (the directions
    /// agree exactly) over one half (at the limit of `consistent`) to 0, and to 0 on motion boundaries and outside.
    pub confidence: Vec<f32>,
}

impl Motion {
    /// The share of pixels whose motion is consistent, 0..1: near 0 for two pictures of different scenes.
    #[must_use]
    pub fn consistency(&self) -> f32 {
        let count: usize = self.consistent.iter().map(|&one| usize::from(one)).sum();
        count as f32 / self.consistent.len().max(1) as f32
    }

    /// No motion, and no trust in it: for pictures too small to have patches.
    fn stand_still(&mut self, size: (usize, usize)) {
        self.backward.stand_still(size);
        self.forward.stand_still(size);
        self.consistent = vec![0; size.0 * size.1];
        self.boundary = vec![0; size.0 * size.1];
        self.confidence = vec![0.0; size.0 * size.1];
    }
}
