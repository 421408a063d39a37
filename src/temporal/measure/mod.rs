//! How steady a film is: the error of each picture against the one before it, carried along the motion.
//!
//! ```text
//! e_stab = sqrt(1/(T−1) · Σ_t mean over trackable pixels of (O_t − W(O_{t−1}))²)      values in 0..1, mean over R, G, B
//! ```
//!
//! Trackable are the pixels whose two directions of flow agree and that stay inside the picture. The motion is always
//! that of the *input*, so a painting cannot influence how it is judged, and the input's own figure is the floor: noise
//! and imperfect motion. A result far below the floor smears.

use super::{flow::Motion, warp};
use crate::frame::Picture;

/// Sampling step of [`Running`], in pixels: a sixteenth of the pixels give the figure within some percent.
const STEP: usize = 4;

/// Error sums of a pair of pictures.
#[derive(Debug, Clone, Copy, Default)]
struct Pair {
    /// Mean over the trackable pixels of the squared error, 0..1.
    mean_square: f64,
    /// Trackable pixels.
    pixels: usize,
}

/// Error along the motion between `before` and `now`, over every `step`-th pixel of every `step`-th row.
fn pair(before: &Picture, now: &Picture, motion: &Motion, step: usize) -> Pair {
    let (width, height) = (now.width(), now.height());
    let (mut sum, mut pixels) = (0.0_f64, 0);
    for y in (step / 2..height).step_by(step) {
        let mut row = 0.0_f32;
        for x in (step / 2..width).step_by(step) {
            let at = y * width + x;
            if motion.consistent[at] == 0 {
                continue;
            }
            let [px, py] = [
                x as f32 + motion.backward.u[at],
                y as f32 + motion.backward.v[at],
            ];
            let old = warp::cubic_rgb(before, px, py);
            for (old, &new) in old.iter().zip(&now.rgb()[3 * at..3 * at + 3]) {
                row += (f32::from(new) - old).powi(2);
            }
            pixels += 1;
        }
        sum += f64::from(row);
    }
    Pair {
        mean_square: sum / (3.0 * 255.0 * 255.0 * pixels.max(1) as f64),
        pixels,
    }
}

/// Measures a film while it passes.
#[derive(Debug, Default)]
pub struct Running {
    before: Option<(Picture, Picture)>,
    input: f64,
    output: f64,
    pairs: usize,
}

impl Running {
    /// Takes the next input with its result; without `motion` they do not continue what came before.
    pub fn push(&mut self, input: Picture, output: &Picture, motion: Option<&Motion>) {
        if let (Some((old_input, old_output)), Some(motion)) = (&self.before, motion)
            && motion.consistent.len() == input.width() * input.height()
            && old_input.width() == input.width()
            && old_output.width() == output.width()
        {
            let [first, second] = [
                pair(old_input, &input, motion, STEP),
                pair(old_output, output, motion, STEP),
            ];
            if first.pixels > 0 {
                self.input += first.mean_square;
                self.output += second.mean_square;
                self.pairs += 1;
            }
        }
        match &mut self.before {
            Some((old_input, old_output)) => {
                *old_input = input;
                old_output.clone_from(output);
            }
            None => self.before = Some((input, output.clone())),
        }
    }

    /// e_stab of the input and of the output, 0..1; `None` before two pictures that belong together.
    pub fn result(&self) -> Option<(f64, f64)> {
        let mean = |sum: f64| (sum / self.pairs as f64).sqrt();
        (self.pairs > 0).then(|| (mean(self.input), mean(self.output)))
    }
}
