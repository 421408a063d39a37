//! What one thread learns from one piece of a photo.

use super::{Report, Settings, Teacher, blend};
use crate::kernels::Tape as Looked;
use crate::kernels::{KernelError, Precision, TransformConfig, TransformEngine};
use crate::train::frozen::FrozenTape;
use crate::train::loss::{Comparison, compare_pair};
use crate::train::network::{Convolutions, Shape, Tape};
use crate::train::overlap::{add_overlap, overlap, overlap_size};
use crate::train::photos::Views;
use crate::train::start::hint_loss;

/// How a piece is painted: each on a thread of its own.
pub(super) const CONFIG: TransformConfig = TransformConfig {
    threads: 1,
    precision: Precision::Auto,
    instruction_set: None,
};

/// What works on one piece at a time.
pub(super) struct Unit {
    pub(super) engine: TransformEngine,
    /// Residual blocks of the student.
    pub(super) blocks: usize,
    pub(super) tapes: [Tape; 2],
    pub(super) comparison: Comparison,
    pub(super) painted: Vec<f32>,
    /// The teacher's trunk before and behind its blocks.
    pub(super) planes: [Vec<f32>; 2],
    /// The teacher's end behind the student's trunk, of both views, and the loss network behind that.
    pub(super) ends: [FrozenTape; 2],
    pub(super) looked: Looked,
    pub(super) gradient: Vec<f32>,
    pub(super) report: Report,
}

impl Unit {
    /// # Errors
    /// When the teacher cannot paint here.
    pub(super) fn new(teacher: &Teacher, shape: &Shape) -> Result<Self, KernelError> {
        Ok(Self {
            engine: TransformEngine::new(&teacher.network, CONFIG)?,
            blocks: shape.config.blocks,
            tapes: [Tape::new(shape), Tape::new(shape)],
            comparison: Comparison::default(),
            painted: Vec::new(),
            planes: [Vec::new(), Vec::new()],
            ends: Default::default(),
            looked: Looked::default(),
            gradient: Vec::new(),
            report: Report::default(),
        })
    }

    /// The target of the first view, to `painted`.
    pub(super) fn paint(
        &mut self,
        teacher: &Teacher,
        style: &[(usize, f32)],
        views: &Views,
        side: usize,
    ) -> Result<(), KernelError> {
        self.paint_rgb(teacher, style, &views.clean, side)
    }

    pub(super) fn paint_rgb(
        &mut self,
        teacher: &Teacher,
        style: &[(usize, f32)],
        rgb: &[u8],
        side: usize,
    ) -> Result<(), KernelError> {
        self.engine.set_style(&blend(teacher, style))?;
        self.painted.resize(rgb.len(), 0.0);
        self.engine.paint_f32(rgb, side, side, &mut self.painted)
    }

    /// The gradient of one piece by the plane after so many residual blocks, none or all of them.
    pub(super) fn learn_trunk(
        &mut self,
        teacher: &Teacher,
        convolutions: &Convolutions,
        style: &[(usize, f32)],
        views: &Views,
        side: usize,
        blocks: usize,
    ) -> Result<(), KernelError> {
        self.engine.set_style(&blend(teacher, style))?;
        let [before, behind] = &mut self.planes;
        self.engine
            .trunk(&views.clean, side, side, [before, behind])?;
        let target = if blocks == 0 { before } else { behind };
        let tape = &mut self.tapes[0];
        let mut plane = tape
            .trunk(convolutions, style, &views.seen[0], (side, side), blocks)
            .to_vec();
        let hint = hint_loss(&mut plane, target, teacher.network.shape().trunk());
        tape.trunk_backward(convolutions, &plane, blocks, &mut self.gradient);
        self.report = Report {
            hint,
            ..Report::default()
        };
        Ok(())
    }

    /// The gradient of one piece.
    pub(super) fn learn(
        &mut self,
        convolutions: &Convolutions,
        style: &[(usize, f32)],
        views: &Views,
        pair: bool,
        settings: &Settings,
    ) {
        let (side, size) = (settings.crop, (settings.crop, settings.crop));
        let seen = &views.seen[..if pair { 2 } else { 1 }];
        for (tape, view) in self.tapes.iter_mut().zip(seen) {
            tape.forward(convolutions, style, view, size);
        }
        let [first, second] = [self.tapes[0].output(), self.tapes[1].output()];
        let mut gradient = vec![0.0; first.len()];
        let weights = &settings.weights;
        let terms = self
            .comparison
            .compare(first, &self.painted, size, weights, &mut gradient);
        if !pair {
            self.tapes[0].backward(convolutions, &gradient, &mut self.gradient);
            self.report = Report {
                terms,
                ..Report::default()
            };
            return;
        }
        // Where both views show the same, the second has the same target, and the first as another.
        let [a, b] = overlap(first, second, views.moved, side);
        let [target, _] = overlap(&self.painted, second, views.moved, side);
        let common = overlap_size(views.moved, side);
        let (mut gradient_a, mut gradient_b) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        let moved_terms = self
            .comparison
            .compare(&b, &target, common, weights, &mut gradient_b);
        let flicker = compare_pair(
            (&a, &mut gradient_a),
            (&b, &mut gradient_b),
            settings.steadiness,
        );
        let mut second_gradient = vec![0.0; gradient.len()];
        add_overlap(
            [&gradient_a, &gradient_b],
            views.moved,
            side,
            [&mut gradient, &mut second_gradient],
        );
        self.tapes[0].backward(convolutions, &gradient, &mut self.gradient);
        self.tapes[1].backward(convolutions, &second_gradient, &mut self.gradient);
        self.report = Report {
            terms,
            flicker,
            ..Report::default()
        };
        self.report.terms.total += moved_terms.total + settings.steadiness * flicker;
    }
}
