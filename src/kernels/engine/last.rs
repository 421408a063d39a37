//! The last layer, in lanes or in tiles as the others.

use super::super::InstructionSet;
use super::super::format::Format;
use super::super::last::LastConvolution;
use super::super::network::StyleParameters;
use super::super::packed::LastLayer;
use super::super::pass::{ConvolutionPass, LastPass, LastTile, Scratch, Source, Target};
use super::super::patch::{TensorSource, Tiling};
use super::super::plan::Plan;
use super::super::pool::WorkerPool;
use super::super::statistics::{Affine, Moments};
use super::{TransformEngine, run_tiles};

impl TransformEngine {
    pub(super) fn convolve_last(
        &mut self,
        plan: &Plan,
        style: &StyleParameters,
        source: TensorSource,
        target: *mut u8,
    ) -> Affine {
        let last = self.network.shape.last();
        let tiling = &plan.tilings[last];
        let room = (self.partials.as_mut_ptr(), self.scratch.as_mut_ptr());
        match &self.network.last {
            None => unreachable!("asked for of networks that have one"),
            Some(LastLayer::Lanes(convolution)) => {
                let pass = Self::last_pass(room, convolution, source, target, tiling);
                run_last(&mut self.pool, self.set, &pass);
            }
            Some(LastLayer::HalfLanes(convolution)) => {
                let pass = Self::last_pass(room, convolution, source, target, tiling);
                run_last(&mut self.pool, self.set, &pass);
            }
            Some(LastLayer::Tiles(convolution)) => {
                let (source, target) = (
                    Source::Tensor(source),
                    Target::Plain {
                        data: target,
                        storage: source.storage,
                        width: plan.plane(1).1,
                    },
                );
                let pass = ConvolutionPass {
                    convolution,
                    source,
                    target,
                    tiling,
                    channels: 4,
                    partials: room.0,
                    scratch: room.1,
                };
                run_tiles(&mut self.pool, self.set, &pass);
            }
        }
        self.normalise(style, last, tiling.count(), 4)
    }

    fn last_pass<'a, D>(
        (partials, scratch): (*mut Moments, *mut Scratch),
        convolution: &'a LastConvolution<D>,
        source: TensorSource,
        target: *mut u8,
        tiling: &'a Tiling,
    ) -> LastPass<'a, D> {
        LastPass {
            convolution,
            source,
            target,
            tiling,
            partials,
            scratch,
        }
    }
}

/// One pass over all tiles of a last layer in lanes.
fn run_last<D: Format>(pool: &mut WorkerPool, set: InstructionSet, pass: &LastPass<'_, D>) {
    pool.run(pass.tiling.count(), &|worker, tile| {
        // SAFETY: the engine was built for an available set.
        unsafe { set.run(LastTile { pass, worker, tile }) };
    });
}
