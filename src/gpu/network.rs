//! A feed-forward network as shaders, each made for one layer.

use super::{Gpu, GpuError, plan::Plan, template::expand};
use crate::kernels::{
    ConvolutionWeights, Entry, LayerShape, NetworkShape, StyleParameters, TransformWeights,
    Upsample, fold_upsampling, pad_blocks,
};

/// Paints with a feed-forward network on a GPU.
#[derive(Debug)]
pub struct TransformOnGpu {
    pub(super) gpu: Gpu,
    pub(super) shape: NetworkShape,
    pub(super) layers: Vec<Layer>,
    pub(super) convolve: wgpu::BindGroupLayout,
    pub(super) statistics: wgpu::ComputePipeline,
    pub(super) finish: wgpu::ComputePipeline,
    /// Of each layer that is normalised its scales and then its shifts.
    pub(super) style: wgpu::Buffer,
    current: Option<StyleParameters>,
    plan: Option<Plan>,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) shape: LayerShape,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) weights: wgpu::Buffer,
    /// Times four channels of the input, and of the output as it is stored.
    pub(super) fours: usize,
    pub(super) stored: usize,
    /// Pixels of a group's output, across and down, and groups that make all outputs of them.
    pub(super) tile: (usize, usize),
    pub(super) groups: usize,
    /// Times four outputs that a group makes.
    pub(super) quads: usize,
    /// Whether its input is added to what the residual blocks made before, and whether the sum is kept.
    pub(super) added: bool,
    pub(super) kept: bool,
    /// Where its scales lie in the style, in fours.
    pub(super) style: usize,
}

/// Threads of a group, across and down.
const GROUP: (usize, usize) = (16, 8);

/// A level of a colour `v` is taken as `(v - 128) / 256`, which half precision holds; the weights of the first layer are
/// larger by this, and what its outputs lack is a constant: normalisation takes it away, or the bias has it.
const LEVELS: f32 = 256.0 / 255.0;

impl TransformOnGpu {
    /// Puts the weights on the GPU and has its driver compile the shaders.
    ///
    /// # Errors
    /// When the weights do not have the shape they say, or the GPU fails.
    pub fn new(weights: &TransformWeights, gpu: Gpu) -> Result<Self, GpuError> {
        weights.check()?;
        let shape = weights.shape();
        let convolve = bindings(&gpu, &[true, true, true, false, true, false, false]);
        let mut layers: Vec<Layer> = Vec::new();
        let mut style = 0;
        for index in 0..shape.layers() {
            let fours = match (layers.last(), shape.entry) {
                (Some(before), _) => before.stored,
                (None, Entry::Contract { .. }) => 1,
                (None, Entry::Unshuffle { .. }) => 12,
            };
            let layer = layer(&gpu, &convolve, weights, index, fours, style);
            style += if layer.shape.normalised {
                2 * layer.stored
            } else {
                0
            };
            layers.push(layer);
        }
        let pipeline = |source: &str, entry: &str, uses: &[bool]| {
            compile(&gpu, source, entry, &bindings(&gpu, uses))
        };
        let statistics = pipeline(
            include_str!("shaders/statistics.wgsl"),
            "statistics",
            &[true, true, false],
        );
        let finish = pipeline(
            include_str!("shaders/picture.wgsl"),
            "finish",
            &[true, true, false],
        );
        let style = gpu.reserve(16 * style.max(1), wgpu::BufferUsages::STORAGE);
        gpu.check()?;
        Ok(Self {
            gpu,
            shape,
            layers,
            convolve,
            statistics,
            finish,
            style,
            current: None,
            plan: None,
        })
    }

    /// Changes the style of what is painted from now on.
    ///
    /// # Errors
    /// When the style has another number of scales and shifts than the network.
    pub fn set_style(&mut self, style: &StyleParameters) -> Result<(), GpuError> {
        style.check(self.shape)?;
        if self.current.as_ref() == Some(style) {
            return Ok(());
        }
        let mut values = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let own = self.shape.style_channels_of(index);
            for part in [&style.scale, &style.shift] {
                values.extend_from_slice(&part[own.clone()]);
                // Channels that only padding has are scaled to nothing.
                let padding = if layer.shape.normalised {
                    4 * layer.stored - own.len()
                } else {
                    0
                };
                values.extend(std::iter::repeat_n(0.0, padding));
            }
        }
        self.gpu
            .queue()
            .write_buffer(&self.style, 0, &bytes_of(&values));
        self.current = Some(style.clone());
        Ok(())
    }

    /// Paints an RGB picture, `height` rows of `width` pixels with sides of 32 or more, into `painted`, which is as long.
    ///
    /// # Errors
    /// When the GPU has no room for pictures of this size, or fails.
    ///
    /// # Panics
    /// When a slice does not have the length that the size says, or no style was set.
    pub fn paint(
        &mut self,
        rgb: &[u8],
        width: usize,
        height: usize,
        painted: &mut [u8],
    ) -> Result<(), GpuError> {
        assert!(rgb.len() == width * height * 3 && painted.len() == rgb.len());
        assert!(self.current.is_some(), "a style is set before painting");
        let plan = match self.plan.take() {
            Some(plan) if plan.size() == (width, height) => plan,
            _ => Plan::new(self, width, height)?,
        };
        plan.paint(&self.gpu, rgb, painted)?;
        self.plan = Some(plan);
        Ok(())
    }
}

/// The shader and the weights of a layer.
fn layer(
    gpu: &Gpu,
    bindings: &wgpu::BindGroupLayout,
    network: &TransformWeights,
    index: usize,
    fours: usize,
    style: usize,
) -> Layer {
    let shape = network.shape();
    let (own, stored) = (
        shape.layer(index),
        shape.layer(index).out_channels.div_ceil(4),
    );
    let first = index == 0;
    let mut convolution = network.layers()[index].clone();
    if own.upsample == Some(Upsample::Nearest) {
        convolution = fold_upsampling(&convolution);
    }
    if own.upsample.is_some() {
        convolution = pad_blocks(convolution, 4 * stored);
    }
    let all = convolution.out_channels.div_ceil(4);
    let quads = match all {
        0 | 1 => 1,
        2 | 3 => 2,
        _ => 4,
    };
    let groups = all.div_ceil(quads);
    let pixels = if own.stride == 1 { 4 } else { 2 };
    let source = match (first, shape.entry) {
        (false, _) => 0,
        (true, Entry::Contract { .. }) => 1,
        (true, Entry::Unshuffle { .. }) => 2,
    };
    let terms = if source == 1 { 3 } else { 4 };
    if first {
        convolution
            .weight
            .iter_mut()
            .for_each(|weight| *weight *= LEVELS);
    }
    let mut packed = pack(&convolution, (groups, quads), fours, terms);
    let mut bias = network.bias(index).to_vec();
    if first {
        let one = convolution.weight.len() / convolution.out_channels;
        for (bias, weights) in bias.iter_mut().zip(convolution.weight.chunks_exact(one)) {
            *bias += 0.5 * weights.iter().sum::<f32>();
        }
    }
    bias.resize(4 * quads * groups, 0.0);
    packed.extend_from_slice(&bias);

    let (residual, expanding) = (shape.residual(), shape.expanding());
    let blocks = (residual..=expanding).contains(&index) && (index - residual).is_multiple_of(2);
    let (added, kept) = (blocks && index > residual, blocks && index < expanding);
    let side = convolution.kernel_size;
    let reach = |threads: usize, pixels: usize| (threads * pixels - 1) * own.stride + side;
    let patch = reach(GROUP.0, pixels) * reach(GROUP.1, 1);
    let sums = if own.normalised {
        2 * GROUP.0 * GROUP.1 * quads
    } else {
        0
    };
    let numbers = [
        ("SIDE", side),
        ("STRIDE", own.stride),
        ("ACROSS", GROUP.0),
        ("DOWN", GROUP.1),
        ("PIXELS", pixels),
        ("QUADS", quads),
        ("ROOM", patch.max(sums)),
        ("SOURCE", source),
        ("FOURS", fours),
        ("TERMS", terms),
    ];
    let flags = [
        ("SCALED", !first && shape.layer(index - 1).normalised),
        ("RELU", !added),
        ("ADDED", added),
        ("KEPT", kept),
        ("REPEATS", own.upsample == Some(Upsample::Nearest)),
        ("BIASED", !own.normalised),
        ("RELU_OUT", !own.normalised && own.relu),
        ("MOMENTS", own.normalised),
        ("SHUFFLED", own.upsample.is_some()),
    ];
    let shader = expand(include_str!("shaders/convolution.wgsl"), &numbers, &flags);
    Layer {
        shape: own,
        pipeline: compile(gpu, &shader, "convolve", bindings),
        weights: gpu.put(&bytes_of(&packed), wgpu::BufferUsages::STORAGE),
        fours,
        stored,
        tile: (GROUP.0 * pixels, GROUP.1),
        groups,
        quads,
        added,
        kept,
        style,
    }
}

/// `[group][times four channels][place][quad][channel][output]`: what the shader reads one after the other.
fn pack(
    convolution: &ConvolutionWeights,
    (groups, quads): (usize, usize),
    fours: usize,
    terms: usize,
) -> Vec<f32> {
    let places = convolution.kernel_size * convolution.kernel_size;
    let mut packed = Vec::new();
    for (group, four) in (0..groups).flat_map(|group| (0..fours).map(move |four| (group, four))) {
        for (place, quad) in (0..places).flat_map(|place| (0..quads).map(move |quad| (place, quad)))
        {
            for (term, output) in
                (0..terms).flat_map(|term| (0..4).map(move |output| (term, output)))
            {
                let output = 4 * (group * quads + quad) + output;
                let channel = 4 * four + term;
                packed.push(
                    match output < convolution.out_channels && channel < convolution.in_channels {
                        true => {
                            let row = output * convolution.in_channels + channel;
                            convolution.weight[row * places + place]
                        }
                        false => 0.0,
                    },
                );
            }
        }
    }
    packed
}

/// Sizes at binding 0, and behind them buffers that are only read (true), or written.
fn bindings(gpu: &Gpu, only_read: &[bool]) -> wgpu::BindGroupLayout {
    let entry = |binding: usize, ty| wgpu::BindGroupLayoutEntry {
        binding: binding as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform)];
    for (index, &read_only) in only_read.iter().enumerate() {
        entries.push(entry(
            index + 1,
            wgpu::BufferBindingType::Storage { read_only },
        ));
    }
    gpu.device()
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: None,
            entries: &entries,
        })
}

fn compile(
    gpu: &Gpu,
    source: &str,
    entry: &str,
    bindings: &wgpu::BindGroupLayout,
) -> wgpu::ComputePipeline {
    let device = gpu.device();
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(entry),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        bind_group_layouts: &[Some(bindings)],
        ..wgpu::PipelineLayoutDescriptor::default()
    });
    device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(entry),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(entry),
        compilation_options: wgpu::PipelineCompilationOptions {
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    })
}

/// The bytes of numbers, as GPUs have them.
pub(super) fn bytes_of(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
