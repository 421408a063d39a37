//! From the picture to the trunk, at a quarter of its size, and through the residual blocks.

use super::super::KernelError;
use super::super::network::{Entry, StyleParameters};
use super::super::pass::{Source, Target};
use super::super::patch::{Storage, TensorSource};
use super::super::picture::{BlockSource, PictureSource};
use super::super::plan::Plan;
use super::super::statistics::Affine;
use super::{TransformEngine, tensor};

impl TransformEngine {
    /// What an RGB8 picture becomes before the first residual block, normalised and after ReLU, and behind the last one:
    /// both `[height / 4][width / 4][channels]`.
    ///
    /// # Errors
    /// As for [`TransformEngine::paint`].
    ///
    /// # Panics
    /// When a side is no multiple of 4.
    pub fn trunk(
        &mut self,
        rgb: &[u8],
        width: usize,
        height: usize,
        [before, behind]: [&mut Vec<f32>; 2],
    ) -> Result<(), KernelError> {
        assert_eq!((width % 4, height % 4), (0, 0));
        self.check_picture(rgb, width, height)?;
        let style = self.style.take().ok_or(KernelError::NoStyle)?;
        let plan = self.prepare(width, height);
        let storage = self.network.storage();
        let first = self.first_region.as_mut_ptr::<u8>();
        let second = self.second_region.as_mut_ptr::<u8>();
        let channels = self.network.shape.trunk();
        let (pixels, values) = (plan.pixels(), plan.pixels() / 16 * channels);
        // SAFETY: the four planes of the first region, as for painting.
        let plane = |index: usize| unsafe { first.add(index * pixels * 2 * storage.bytes()) };
        let affine = self.enter(&plan, &style, rgb, (first, second, plane(3)));
        let normalised = |at: usize, affine: &Affine| {
            // SAFETY: a plane holds so many values, and `enter` and `repaint` write the fourth.
            let value = unsafe { storage.value(plane(3), at) };
            value * affine.scale[at % channels] + affine.shift[at % channels]
        };
        before.clear();
        before.extend((0..values).map(|at| normalised(at, &affine).max(0.0)));
        let (affine, trunk) = self.repaint(&plan, &style, affine);
        behind.clear();
        // SAFETY: as above; `repaint` wrote that plane too.
        let kept = |at| unsafe { storage.value(trunk, at) };
        behind.extend((0..values).map(|at| normalised(at, &affine) + kept(at)));
        self.plan = Some(plan);
        self.style = Some(style);
        Ok(())
    }

    /// The residual blocks, from the fourth plane of the first region to that plane and the trunk that it is added to.
    pub(super) fn repaint(
        &mut self,
        plan: &Plan,
        style: &StyleParameters,
        mut affine: Affine,
    ) -> (Affine, *mut u8) {
        let (shape, pixels) = (self.network.shape, plan.pixels());
        let storage = self.network.storage();
        let first = self.first_region.as_mut_ptr::<u8>();
        // SAFETY: the four planes of the first region, as `prepare` sized it.
        let plane = |index: usize| unsafe { first.add(index * pixels * 2 * storage.bytes()) };
        // Two trunks (used in turn) and the two outputs of a residual block.
        let (quarter, deep) = (plan.plane(4).1, shape.trunk());
        let (between, output) = (plane(2), plane(3));
        let plain = |data| Target::Plain {
            data,
            storage,
            width: quarter,
        };
        let mut trunk: *mut u8 = std::ptr::null_mut();
        for block in 0..shape.blocks {
            let (next, layer) = (plane(block % 2), shape.residual() + 2 * block);
            let source = TensorSource {
                relu: block == 0,
                trunk,
                keep: next,
                ..tensor(plan, (output, storage), 4, deep, affine)
            };
            let source = Source::Tensor(source);
            let inner = self.convolve(plan, style, layer, source, plain(between));
            let source = Source::Tensor(tensor(plan, (between, storage), 4, deep, inner));
            affine = self.convolve(plan, style, layer + 1, source, plain(output));
            trunk = next;
        }
        (affine, trunk)
    }

    /// From the picture to the trunk, in `output`; `first` and `second` are the regions, of which it takes what it needs.
    pub(super) fn enter(
        &mut self,
        plan: &Plan,
        style: &StyleParameters,
        rgb: &[u8],
        (first, second, output): (*mut u8, *mut u8, *mut u8),
    ) -> Affine {
        let storage = self.network.storage();
        let trunk = Target::Plain {
            data: output,
            storage,
            width: plan.plane(4).1,
        };
        let (width, row_map, column_map) = (plan.width, &plan.row_map[..], &plan.column_map[..]);
        let Entry::Contract { channels, .. } = self.network.shape.entry else {
            let picture = BlockSource {
                rgb,
                width,
                row_map,
                column_map,
            };
            if self.network.shape.residual() == 1 {
                return self.convolve(plan, style, 0, Source::Blocks(picture), trunk);
            }
            let target = Target::Plain {
                data: second,
                storage,
                width: plan.plane(4).1,
            };
            let affine = self.convolve(plan, style, 0, Source::Blocks(picture), target);
            let deep = self.network.shape.trunk();
            let source = tensor(plan, (second, storage), 4, deep, affine);
            return self.convolve(plan, style, 1, Source::Tensor(source), trunk);
        };
        let picture = PictureSource {
            rgb,
            width,
            row_map,
            column_map,
            padding: 4,
        };
        let target = Target::Plain {
            data: first,
            storage: Storage::I16,
            width: plan.plane(1).1,
        };
        let affine = self.convolve(plan, style, 0, Source::Picture(picture), target);
        let source = tensor(plan, (first, Storage::I16), 1, channels[0], affine);
        let target = Target::Plain {
            data: second,
            storage,
            width: plan.plane(2).1,
        };
        let affine = self.convolve(plan, style, 1, Source::Tensor(source), target);
        // The first region is free now.
        let source = tensor(plan, (second, storage), 2, channels[1], affine);
        self.convolve(plan, style, 2, Source::Tensor(source), trunk)
    }
}
