//! What painting pictures of one size takes: memory, and what is bound to the shaders.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
};

use super::{Gpu, GpuError, TransformOnGpu, form::Form, network::Layer};
use crate::kernels::Entry;

/// Added to the variance before its root is taken.
const EPSILON: f32 = 1e-5;
/// Groups of the last shader in a row, and threads of one.
const ROW: usize = 32_768;
pub(super) const THREADS: usize = 128;
/// Pixels from which on a GPU is given one layer after the other: drivers take a GPU away that works on one order for seconds.
const LARGE: usize = 1 << 21;

/// The launches for a size.
#[derive(Debug)]
pub(super) struct Plan {
    width: usize,
    height: usize,
    picture: wgpu::Buffer,
    painted: wgpu::Buffer,
    /// Where a painting waits to be read.
    stage: wgpu::Buffer,
    launches: Vec<Launch>,
}

#[derive(Debug)]
struct Launch {
    pipeline: wgpu::ComputePipeline,
    bound: wgpu::BindGroup,
    groups: [usize; 3],
}

impl Gpu {
    /// Memory of so many bytes.
    pub(super) fn reserve(&self, bytes: usize, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            // A picture is read in pairs of words.
            size: bytes.next_multiple_of(8) as u64,
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Memory with `bytes` in it, a multiple of 4 of them.
    pub(super) fn put(&self, bytes: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let buffer = self.reserve(bytes.len(), usage);
        self.queue().write_buffer(&buffer, 0, bytes);
        buffer
    }
}

/// What a layer reads or has written.
struct Values {
    buffer: wgpu::Buffer,
    size: (usize, usize),
    /// Scales, shifts and what ReLU makes of what is less, where it is normalised.
    norm: wgpu::Buffer,
    /// What is added to them.
    trunk: wgpu::Buffer,
}

impl Plan {
    /// # Errors
    /// When the GPU has no room for pictures of this size, or fails.
    pub(super) fn new(
        network: &TransformOnGpu,
        width: usize,
        height: usize,
    ) -> Result<Self, GpuError> {
        use wgpu::BufferUsages as Usage;
        let gpu = &network.gpu;
        let (wide, tall) = (width.next_multiple_of(4), height.next_multiple_of(4));
        let entry = match network.shape.entry {
            Entry::Contract { .. } => (wide, tall),
            Entry::Unshuffle { .. } => (wide / 4, tall / 4),
        };
        let (mut values_bytes, mut moments_bytes, mut most_groups) = ([0, 0], 0, 0);
        let mut size = entry;
        for (index, layer) in network.layers.iter().enumerate() {
            let form = &layer.form;
            let out = form.out_size(size);
            size = form.stored_size(out);
            let bytes = &mut values_bytes[index % 2];
            *bytes = (*bytes).max(size.0 * size.1 * form.stored * form.bytes());
            let [across, down] = tiles(form, out);
            most_groups = most_groups.max(across).max(down);
            moments_bytes = moments_bytes.max(across * down * form.groups * form.quads * 32);
        }
        let limits = gpu.device().limits();
        let too_large = GpuError::TooLarge { width, height };
        let most = limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size);
        if values_bytes[0].max(values_bytes[1]) as u64 > most
            || most_groups > limits.max_compute_workgroups_per_dimension as usize
        {
            return Err(too_large);
        }
        let scope = gpu
            .device()
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let trunk_bytes = wide / 4 * (tall / 4) * network.shape.trunk().div_ceil(4) * 8;
        let values = values_bytes.map(|bytes| gpu.reserve(bytes, Usage::STORAGE));
        let trunks = [0, 1].map(|_| gpu.reserve(trunk_bytes, Usage::STORAGE));
        let moments = gpu.reserve(moments_bytes.max(32), Usage::STORAGE);
        let picture = gpu.reserve(width * height * 3, Usage::STORAGE);
        let bytes = (width * height).next_multiple_of(4) * 3;
        let painted = gpu.reserve(bytes, Usage::STORAGE | Usage::COPY_SRC);
        let stage = gpu.reserve(bytes, Usage::MAP_READ);
        if pollster::block_on(scope.pop()).is_some() {
            return Err(too_large);
        }
        // What a shader has no use for it is given all the same.
        let nothing = gpu.reserve(32, Usage::STORAGE);
        let not_written = gpu.reserve(32, Usage::STORAGE);

        let mut launches = Vec::new();
        let mut input = Values {
            buffer: picture.clone(),
            size: entry,
            norm: nothing.clone(),
            trunk: nothing.clone(),
        };
        for (index, layer) in network.layers.iter().enumerate() {
            let form = &layer.form;
            let out = form.out_size(input.size);
            let output = values[index % 2].clone();
            // The sum that is kept is added two layers on.
            let block = index.saturating_sub(network.shape.residual()) / 2;
            let kept = if form.kept {
                &trunks[block % 2]
            } else {
                &not_written
            };
            let sizes: Vec<u8> = [
                input.size.0,
                input.size.1,
                width,
                height,
                out.0,
                out.1,
                form.fours,
                form.stored,
            ]
            .into_iter()
            .flat_map(|size| (size as i32).to_le_bytes())
            .collect();
            let tiles = tiles(form, out);
            let trunk = if form.added { &input.trunk } else { &nothing };
            launches.push(Launch {
                bound: bind(
                    gpu,
                    &network.convolve,
                    &sizes,
                    &[
                        &input.buffer,
                        &input.norm,
                        trunk,
                        kept,
                        &layer.weights,
                        &output,
                        &moments,
                    ],
                ),
                pipeline: layer.pipeline.clone(),
                groups: [tiles[0], tiles[1], form.groups],
            });
            let trunk = if form.kept { kept.clone() } else { input.trunk };
            let norm = if form.normalised() {
                let norm = gpu.reserve(48 * form.stored, Usage::STORAGE);
                launches.push(normalise(network, layer, out, tiles, (&moments, &norm)));
                norm
            } else {
                nothing.clone()
            };
            input = Values {
                buffer: output,
                size: form.stored_size(out),
                norm,
                trunk,
            };
        }
        let groups = (width * height).div_ceil(4 * THREADS);
        let row = groups.min(ROW);
        let sizes: Vec<u8> = [width, height, input.size.0, row * THREADS]
            .into_iter()
            .flat_map(|size| (size as i32).to_le_bytes())
            .collect();
        launches.push(Launch {
            bound: bind(
                gpu,
                &network.finish.get_bind_group_layout(0),
                &sizes,
                &[&input.buffer, &input.norm, &painted],
            ),
            pipeline: network.finish.clone(),
            groups: [row, groups.div_ceil(row), 1],
        });
        gpu.check()?;
        Ok(Self {
            width,
            height,
            picture,
            painted,
            stage,
            launches,
        })
    }

    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Paints a picture of the plan's size and waits for the painting.
    pub(super) fn paint(&self, gpu: &Gpu, rgb: &[u8], painted: &mut [u8]) -> Result<(), GpuError> {
        let whole = rgb.len() / 4 * 4;
        gpu.queue().write_buffer(&self.picture, 0, &rgb[..whole]);
        if whole < rgb.len() {
            let mut last = [0; 4];
            last[..rgb.len() - whole].copy_from_slice(&rgb[whole..]);
            gpu.queue().write_buffer(&self.picture, whole as u64, &last);
        }
        let together = match self.width * self.height >= LARGE {
            true => 1,
            false => self.launches.len(),
        };
        let encoder = || {
            gpu.device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
        };
        for launches in self.launches.chunks(together) {
            let mut encoder = encoder();
            {
                let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                for launch in launches {
                    let [x, y, z] = launch.groups.map(|count| count as u32);
                    pass.set_pipeline(&launch.pipeline);
                    pass.set_bind_group(0, &launch.bound, &[]);
                    pass.dispatch_workgroups(x, y, z);
                }
            }
            gpu.queue().submit([encoder.finish()]);
        }
        let mut encoder = encoder();
        encoder.copy_buffer_to_buffer(&self.painted, 0, &self.stage, 0, self.painted.size());
        gpu.queue().submit([encoder.finish()]);
        let (told, mapped) = mpsc::sync_channel(1);
        self.stage
            .map_async(wgpu::MapMode::Read, .., move |result| {
                // Nobody waits any more where the GPU was lost.
                let _ = told.send(result);
            });
        let failed = |error: &dyn std::fmt::Display| GpuError::Failed(error.to_string());
        // wgpu panics where the driver takes the GPU away while it is waited for.
        let waited = catch_unwind(AssertUnwindSafe(|| {
            gpu.device().poll(wgpu::PollType::wait_indefinitely())
        }));
        gpu.check()?;
        match waited {
            Ok(polled) => polled.map_err(|error| failed(&error))?,
            Err(_) => return Err(failed(&"it was lost")),
        };
        mapped
            .recv()
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
        {
            let view = self
                .stage
                .get_mapped_range(..)
                .map_err(|error| failed(&error))?;
            painted.copy_from_slice(&view[..painted.len()]);
        }
        self.stage.unmap();
        Ok(())
    }
}

/// Tiles of an output, across and down.
fn tiles(form: &Form, out: (usize, usize)) -> [usize; 2] {
    let tile = form.tile();
    [out.0.div_ceil(tile.0), out.1.div_ceil(tile.1)]
}

/// Scale and shift of a layer's outputs, out of their moments.
fn normalise(
    network: &TransformOnGpu,
    layer: &Layer,
    out: (usize, usize),
    tiles: [usize; 2],
    (moments, norm): (&wgpu::Buffer, &wgpu::Buffer),
) -> Launch {
    let form = &layer.form;
    let tile = form.tile();
    let numbers = [
        out.0,
        out.1,
        tile.0,
        tile.1,
        tiles[0],
        tiles[0] * tiles[1],
        form.groups * form.quads,
        form.stored,
        form.places(),
        layer.style,
    ];
    let mut sizes: Vec<u8> = numbers
        .into_iter()
        .flat_map(|number| (number as i32).to_le_bytes())
        .collect();
    sizes.extend(EPSILON.to_le_bytes());
    sizes.resize(sizes.len().next_multiple_of(16), 0);
    Launch {
        bound: bind(
            &network.gpu,
            &network.statistics.get_bind_group_layout(0),
            &sizes,
            &[moments, &network.style, norm],
        ),
        pipeline: network.statistics.clone(),
        groups: [form.stored, 1, 1],
    }
}

/// Binds numbers and buffers to a shader, in its order.
fn bind(
    gpu: &Gpu,
    layout: &wgpu::BindGroupLayout,
    sizes: &[u8],
    buffers: &[&wgpu::Buffer],
) -> wgpu::BindGroup {
    let sizes = gpu.put(sizes, wgpu::BufferUsages::UNIFORM);
    let entries: Vec<_> = std::iter::once(&sizes)
        .chain(buffers.iter().copied())
        .enumerate()
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout,
        entries: &entries,
    })
}
