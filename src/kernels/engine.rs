//! The feed-forward network as a sequence of passes over tiles.
//!
//! Layers hand on *raw* convolution outputs with their statistics; whoever reads them applies normalisation, style,
//! ReLU and residual sum while filling its patch. So every tensor is written once and read once per reader, and
//! nothing but convolution outputs is ever stored. Memory is two regions used in turn; the output of a first layer at
//! full size, by far the largest, is kept in 16-bit whole numbers: its inputs are bounded, so its outputs are, and
//! weights scaled by that bound use all 16 bits (half precision would leave three times the error). Where bf16
//! is multiplied, arithmetic is so cheap that moving tensors is much of a frame's time: there the others are kept in
//! half precision, whose 11 bits are cut to 8 for the product anyway.

mod last;
mod trunk;

use super::aligned::AlignedBuffer;
use super::convolution::{Convolution, Method, OVERRUN, SLACK, WORK};
use super::finish::{FinishPass, FinishRow, Painting};
use super::format::F32;
use super::last::LastRoom;
use super::network::{
    Entry, LayerShape, MINIMUM_SIDE, StyleParameters, TransformWeights, Upsample,
};
use super::packed::{LastLayer, PackedNetwork, stored_channels};
use super::pass::{ConvolutionPass, ConvolutionTile, Scratch, Source, Target};
use super::patch::{Edge, Storage, TensorSource};
use super::plan::Plan;
use super::pool::WorkerPool;
use super::statistics::{Affine, Moments};
use super::winograd_nine::WinogradNine;
use super::{InstructionSet, KernelError, Precision, TransformConfig};

/// Added to the variance before its root is taken, as the network was trained.
const EPSILON: f64 = 1e-5;

/// Paints pictures with the transform network on the processor.
pub struct TransformEngine {
    set: InstructionSet,
    pool: WorkerPool,
    network: PackedNetwork,
    style: Option<StyleParameters>,
    plan: Option<Plan>,
    /// First the first layer's output, then the planes of the residual blocks.
    first_region: AlignedBuffer,
    /// First the second layer's output, then the planes of the expanding layers.
    second_region: AlignedBuffer,
    scratch: Vec<Scratch>,
    partials: Vec<Moments>,
}

impl TransformEngine {
    /// Packs the weights and starts the threads.
    ///
    /// # Errors
    /// When a layer's shape is wrong, or the processor lacks what the configuration forces.
    pub fn new(weights: &TransformWeights, config: TransformConfig) -> Result<Self, KernelError> {
        weights.check()?;
        let set = config.instruction_set.unwrap_or_else(InstructionSet::best);
        if !set.is_available() {
            return Err(KernelError::MissingInstructionSet(set));
        }
        let threads = match config.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads,
        };
        let pool = WorkerPool::new(threads, "paint")?;
        let network = PackedNetwork::new(weights, config.precision, set)?;
        // Without reduced precision the wider sets are plain AVX-512.
        let set = if network.method() == Method::F32 {
            set.min(InstructionSet::Avx512)
        } else {
            set
        };
        Ok(Self {
            set,
            scratch: (0..pool.threads()).map(|_| Scratch::default()).collect(),
            pool,
            network,
            style: None,
            plan: None,
            first_region: AlignedBuffer::default(),
            second_region: AlignedBuffer::default(),
            partials: Vec::new(),
        })
    }

    /// The instruction set that is used.
    #[must_use]
    pub fn instruction_set(&self) -> InstructionSet {
        self.set
    }

    /// The precision that is used.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self.network.method() {
            Method::F32 => Precision::F32,
            Method::Bf16 | Method::Tiles => Precision::Bf16,
            Method::Int8 => Precision::Int8,
        }
    }

    /// Threads that paint.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Bytes held between frames, weights aside.
    #[must_use]
    pub fn working_set_bytes(&self) -> usize {
        let scratch: usize = self
            .scratch
            .iter()
            .map(|scratch| scratch.patch.len() + scratch.row.len() + scratch.work.len())
            .sum();
        self.first_region.len() + self.second_region.len() + scratch
    }

    /// Sets the style of the pictures that follow.
    ///
    /// # Errors
    /// When the style does not have the network's number of scales and shifts.
    pub fn set_style(&mut self, style: &StyleParameters) -> Result<(), KernelError> {
        style.check(self.network.shape)?;
        if self.style.as_ref() != Some(style) {
            self.network.set_style(style);
        }
        match &mut self.style {
            Some(held) => {
                held.scale.copy_from_slice(&style.scale);
                held.shift.copy_from_slice(&style.shift);
            }
            None => self.style = Some(style.clone()),
        }
        Ok(())
    }

    /// Paints an RGB8 picture, row by row without gaps, into another of the same size.
    ///
    /// # Errors
    /// When a buffer's length is not `width * height * 3`, a side is shorter than 32 pixels, or no style was set.
    pub fn paint(
        &mut self,
        rgb_in: &[u8],
        width: usize,
        height: usize,
        rgb_out: &mut [u8],
    ) -> Result<(), KernelError> {
        check_buffer("output", width, height, rgb_out.len())?;
        self.run(rgb_in, width, height, Painting::Bytes(rgb_out.as_mut_ptr()))
    }

    /// Paints an RGB8 picture into `f32` values in 0..=1 (before rounding to bytes), red, green, blue, row by row.
    ///
    /// # Errors
    /// As for [`TransformEngine::paint`].
    pub fn paint_f32(
        &mut self,
        rgb_in: &[u8],
        width: usize,
        height: usize,
        rgb_out: &mut [f32],
    ) -> Result<(), KernelError> {
        check_buffer("output", width, height, rgb_out.len())?;
        self.run(
            rgb_in,
            width,
            height,
            Painting::Floats(rgb_out.as_mut_ptr()),
        )
    }

    fn check_picture(&self, rgb: &[u8], width: usize, height: usize) -> Result<(), KernelError> {
        check_buffer("input", width, height, rgb.len())?;
        if width.min(height) < MINIMUM_SIDE {
            return Err(KernelError::TooSmall {
                width,
                height,
                minimum: MINIMUM_SIDE,
            });
        }
        Ok(())
    }

    fn prepare(&mut self, width: usize, height: usize) -> Plan {
        if let Some(plan) = self.plan.take()
            && (plan.width, plan.height) == (width, height)
        {
            return plan;
        }
        let shape = self.network.shape;
        let plan = Plan::new(
            shape,
            |layer| self.network.columns_at_once(layer),
            width,
            height,
        );
        let pixels = plan.pixels();
        let bytes = self.network.storage().bytes();
        // 16-bit numbers at full size, then a plane at half size.
        let (first, second) = match shape.entry {
            Entry::Contract { channels, .. } => (2 * channels[0], channels[1] * bytes / 4),
            Entry::Unshuffle { .. } => (0, 0),
        };
        // Four planes of 32 channels at a quarter.
        self.first_region.resize(pixels * first.max(8 * bytes));
        // The planes of the expanding layers, the last four channels wide.
        let [half, full] = shape.expand;
        let expanding = (half + 4 * stored_channels(full) + 16) * bytes / 4;
        self.second_region.resize(pixels * second.max(expanding));
        let (mut patch, mut row, mut partials) = (0, 0, 0);
        for (layer, tiling) in plan.tilings.iter().enumerate() {
            let columns = tiling.tile_columns;
            let LayerShape {
                in_channels,
                kernel_size: kernel,
                out_channels,
                upsample,
                ..
            } = shape.layer(layer);
            if layer == shape.last() && self.network.last.as_ref().is_some_and(LastLayer::in_lanes)
            {
                let room = LastRoom::new(columns, kernel);
                row = row.max(room.out_values());
                patch = patch.max(room.patch_words(in_channels, tiling.tile_rows + kernel));
            }
            let outputs = stored_channels(out_channels) * if upsample.is_some() { 4 } else { 1 };
            // Four rows, or two with what the matrix unit writes behind them.
            let values = columns.next_multiple_of(12) * outputs.max(32);
            row = row.max((4 * values).max(2 * values + 4 * OVERRUN));
            patch = patch.max((tiling.patch_pixels() + 4 * (columns + kernel)) * in_channels);
            let convolution = self.network.layers.get(layer);
            if let Some(Convolution::Nine(_) | Convolution::HalfNine(_)) = convolution {
                // In `f32`, the larger of both.
                patch = patch.max(WinogradNine::<F32>::patch_values(tiling.tile_rows, columns));
            }
            partials = partials.max(tiling.count() * 32);
        }
        let (patch, row) = (patch + SLACK, row + SLACK);
        for scratch in &mut self.scratch {
            scratch.patch.reserve(patch * 4);
            scratch.row.reserve(row * 4);
            scratch.work.reserve(WORK * 4);
        }
        self.partials.resize(partials, Moments::default());
        plan
    }

    fn run(
        &mut self,
        rgb: &[u8],
        width: usize,
        height: usize,
        painting: Painting,
    ) -> Result<(), KernelError> {
        self.check_picture(rgb, width, height)?;
        let Some(style) = self.style.take() else {
            return Err(KernelError::NoStyle);
        };
        let plan = self.prepare(width, height);
        self.layers(&plan, &style, rgb, painting);
        self.plan = Some(plan);
        self.style = Some(style);
        Ok(())
    }

    fn layers(&mut self, plan: &Plan, style: &StyleParameters, rgb: &[u8], painting: Painting) {
        let pixels = plan.pixels();
        let shape = self.network.shape;
        let (expanding, [half, full]) = (shape.expanding(), shape.expand);
        let storage = self.network.storage();
        let bytes = storage.bytes();
        let first = self.first_region.as_mut_ptr::<u8>();
        let second = self.second_region.as_mut_ptr::<u8>();
        // SAFETY: offsets within the regions, as `prepare` sized them: the first holds four planes of a sixteenth of the
        // pixels with 32 channels, the second the expanding layers' planes one behind the other.
        let plane = |index: usize| unsafe { first.add(index * pixels * 2 * bytes) };
        // SAFETY: as above.
        let (expanded_half, expanded, raw) = unsafe {
            let expanded = second.add(pixels * half / 4 * bytes);
            (
                second,
                expanded,
                expanded.add(pixels * stored_channels(full) * bytes),
            )
        };
        let tensor = |data, shrink, channels, affine| {
            tensor(plan, (data, storage), shrink, channels, affine)
        };

        let affine = self.enter(plan, style, rgb, (first, second, plane(3)));

        let (affine, trunk) = self.repaint(plan, style, affine);
        let (quarter, deep, output) = (plan.plane(4).1, shape.trunk(), plane(3));

        let edge = match shape.layer(expanding).upsample {
            Some(Upsample::Nearest) => Edge::Clamp,
            _ => Edge::Reflect,
        };
        let source = TensorSource {
            relu: false,
            trunk,
            edge,
            ..tensor(output, 4, deep, affine)
        };
        let target = Target::Blocks {
            data: expanded_half,
            storage,
            width: quarter,
            channels: half,
        };
        let affine = self.convolve(plan, style, expanding, Source::Tensor(source), target);

        let source = TensorSource {
            edge,
            ..tensor(expanded_half, 2, half, affine)
        };
        let target = Target::Blocks {
            data: if shape.last_kernel.is_some() {
                expanded
            } else {
                raw
            },
            storage,
            width: plan.plane(2).1,
            channels: stored_channels(full),
        };
        let mut affine = self.convolve(plan, style, expanding + 1, Source::Tensor(source), target);
        if shape.last_kernel.is_some() {
            let source = tensor(expanded, 1, full, affine);
            affine = self.convolve_last(plan, style, source, raw);
        }
        let pass = FinishPass {
            raw,
            storage,
            raw_width: plan.plane(1).1,
            affine: &affine,
            painting,
            width: plan.width,
        };
        let set = self.set;
        self.pool.run(plan.height.div_ceil(8), &|_, band| {
            for row in band * 8..(band * 8 + 8).min(plan.height) {
                // SAFETY: the engine was built for an available set.
                unsafe { set.run(FinishRow { pass: &pass, row }) };
            }
        });
    }

    fn convolve(
        &mut self,
        plan: &Plan,
        style: &StyleParameters,
        layer: usize,
        source: Source<'_>,
        target: Target,
    ) -> Affine {
        let tiling = &plan.tilings[layer];
        let channels = stored_channels(self.network.shape.layer(layer).out_channels);
        let source = match source {
            Source::Tensor(tensor) => Source::Tensor(TensorSource {
                quantiser: self.network.quantisers[layer],
                ..tensor
            }),
            picture => picture,
        };
        let pass = ConvolutionPass {
            convolution: &self.network.layers[layer],
            source,
            target,
            tiling,
            channels,
            partials: self.partials.as_mut_ptr(),
            scratch: self.scratch.as_mut_ptr(),
        };
        run_tiles(&mut self.pool, self.set, &pass);
        self.normalise(style, layer, tiling.count(), channels)
    }

    /// Merges the tiles' statistics, of `stored` channels each, into what the layer's reader applies.
    fn normalise(
        &self,
        style: &StyleParameters,
        layer: usize,
        tiles: usize,
        stored: usize,
    ) -> Affine {
        if let Some(affine) = self.network.fixed[layer] {
            return affine;
        }
        let own = self.network.shape.style_channels_of(layer);
        let mut moments = [Moments::default(); 32];
        for tile in self.partials[..tiles * stored].chunks_exact(stored) {
            for (whole, part) in moments.iter_mut().zip(tile) {
                *whole = whole.merge(*part);
            }
        }
        let units = if layer == 0 {
            self.network.first_units.as_slice()
        } else {
            &[]
        };
        Affine::normalising(
            &moments[..stored],
            units,
            EPSILON,
            &style.scale[own.clone()],
            &style.shift[own],
        )
    }
}

/// The outputs of a layer with ReLU, at a `shrink`th of the size.
fn tensor(
    plan: &Plan,
    (data, storage): (*mut u8, Storage),
    shrink: usize,
    channels: usize,
    affine: Affine,
) -> TensorSource {
    let (height, width) = plan.plane(shrink);
    TensorSource {
        data,
        storage,
        shape: (height, width, channels),
        affine,
        quantiser: Affine::IDENTITY,
        relu: true,
        trunk: std::ptr::null(),
        keep: std::ptr::null_mut(),
        edge: Edge::Reflect,
    }
}

/// One pass over all tiles of a layer.
fn run_tiles(pool: &mut WorkerPool, set: InstructionSet, pass: &ConvolutionPass<'_>) {
    pool.run(pass.tiling.count(), &|worker, tile| {
        // SAFETY: the engine was built for an available set.
        unsafe { set.run(ConvolutionTile { pass, worker, tile }) };
    });
}

fn check_buffer(
    buffer: &'static str,
    width: usize,
    height: usize,
    found: usize,
) -> Result<(), KernelError> {
    let expected = width.saturating_mul(height).saturating_mul(3);
    if expected == found {
        Ok(())
    } else {
        Err(KernelError::BufferLength {
            buffer,
            width,
            height,
            expected,
            found,
        })
    }
}
