//! A feed-forward network as shaders, each made for one layer.

use std::collections::HashMap;

use super::{
    Gpu, GpuError,
    form::Form,
    plan::{Plan, THREADS},
    template::expand,
};
use crate::kernels::{
    Centred, KernelError, MINIMUM_SIDE, NetworkShape, StyleParameters, TransformWeights,
};

/// Paints with a feed-forward network on a GPU.
#[derive(Debug)]
pub struct TransformOnGpu {
    pub(super) gpu: Gpu,
    pub(super) shape: NetworkShape,
    pub(super) layers: Vec<Layer>,
    /// Whether the layers that gain by it are in single precision.
    pub(super) single: bool,
    /// What was compiled, by its source: many layers are alike.
    compiled: HashMap<String, wgpu::ComputePipeline>,
    pub(super) convolve: wgpu::BindGroupLayout,
    pub(super) statistics: wgpu::ComputePipeline,
    pub(super) finish: wgpu::ComputePipeline,
    /// Of each layer that is normalised its scales, its shifts with the centres taken off, and what ReLU makes of what is
    /// less.
    pub(super) style: wgpu::Buffer,
    current: Option<StyleParameters>,
    plan: Option<Plan>,
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) form: Form,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) weights: wgpu::Buffer,
    /// Where its scales lie in the style, in fours.
    pub(super) style: usize,
}

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
        let mut compiled: HashMap<String, wgpu::ComputePipeline> = HashMap::new();
        for (index, form) in Form::all(shape, true).into_iter().enumerate() {
            let packed = form.weights(weights, index);
            let pipeline = compiled
                .entry(form.shader())
                .or_insert_with_key(|shader| compile(&gpu, shader, "convolve", &convolve));
            layers.push(Layer {
                form,
                pipeline: pipeline.clone(),
                weights: gpu.put(&bytes_of(&packed), wgpu::BufferUsages::STORAGE),
                style,
            });
            if form.normalised() {
                style += 3 * form.stored;
            }
        }
        let pipeline = |source: &str, entry: &str, uses: &[bool]| {
            compile(&gpu, source, entry, &bindings(&gpu, uses))
        };
        let statistics = pipeline(
            include_str!("shaders/statistics.wgsl"),
            "statistics",
            &[true, true, false],
        );
        let picture = expand(
            include_str!("shaders/picture.wgsl"),
            &[("THREADS", THREADS)],
            &[],
        );
        let finish = pipeline(&picture, "finish", &[true, true, false]);
        let style = gpu.reserve(16 * style.max(1), wgpu::BufferUsages::STORAGE);
        gpu.check()?;
        Ok(Self {
            gpu,
            shape,
            layers,
            single: true,
            compiled,
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
        let Centred { shift, least } = style.centred(self.shape);
        let mut values = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let own = self.shape.style_channels_of(index);
            for part in [&style.scale, &shift, &least] {
                values.extend_from_slice(&part[own.clone()]);
                // Channels that only padding has are scaled to nothing.
                let padding = if layer.form.normalised() {
                    4 * layer.form.stored - own.len()
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

    /// Has layers that gain by it in single precision, or all in half precision.
    fn set_single(&mut self, single: bool) {
        if std::mem::replace(&mut self.single, single) == single {
            return;
        }
        for (layer, form) in self.layers.iter_mut().zip(Form::all(self.shape, single)) {
            let (gpu, bindings) = (&self.gpu, &self.convolve);
            let pipeline = self.compiled.entry(form.shader());
            let pipeline =
                pipeline.or_insert_with_key(|shader| compile(gpu, shader, "convolve", bindings));
            layer.pipeline = pipeline.clone();
            layer.form = form;
        }
    }

    /// Paints an RGB picture, `height` rows of `width` pixels into `painted`, which is as long.
    ///
    /// # Errors
    /// When a side is under 32, the GPU has no room for pictures of this size, or fails.
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
        if width.min(height) < MINIMUM_SIDE {
            return Err(GpuError::Network(KernelError::TooSmall {
                width,
                height,
                minimum: MINIMUM_SIDE,
            }));
        }
        // Memory of another size is given back before more is taken.
        let fitting = self
            .plan
            .take()
            .filter(|plan| plan.size() == (width, height));
        let plan = match fitting {
            Some(plan) => plan,
            None => {
                self.set_single(true);
                match Plan::new(self, width, height) {
                    Err(GpuError::TooLarge { .. }) => {
                        self.set_single(false);
                        Plan::new(self, width, height)?
                    }
                    plan => plan?,
                }
            }
        };
        plan.paint(&self.gpu, rgb, painted)?;
        self.plan = Some(plan);
        Ok(())
    }
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
