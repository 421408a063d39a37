//! The feed-forward networks on any GPU that Vulkan or Metal knows, by compute shaders of our own (wgpu translates them).
//!
//! [`Gpu`] is a GPU that was opened, [`TransformOnGpu`] paints with it: `shaders/convolution.wgsl` is one layer with the
//! normalisation before it, `shaders/statistics.wgsl` what instance normalisation is made of, `shaders/picture.wgsl` the
//! colours. Tensors are in half precision (before the trunk in single, where there is room), weights and all arithmetic in
//! single precision, which every GPU has; so an integrated one paints as exactly as a large one. Motion and steadying are
//! the processor's. NVIDIA's cards are used through `cuda` where the program has it: there the tensor cores paint.

mod check;
mod form;
mod network;
mod plan;
mod template;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::{Arc, Mutex, PoisonError};

pub use check::{paints_alike, paints_faster};
pub use network::TransformOnGpu;

use crate::kernels::KernelError;

/// Which driver is asked for GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Vulkan: AMD, Intel and NVIDIA on Linux and Windows.
    Vulkan,
    /// Metal: Apple.
    Metal,
}

impl Backend {
    /// That of a feature of the program; none where it was built without.
    #[must_use]
    pub fn named(feature: &str) -> Option<Self> {
        match feature {
            "vulkan" if cfg!(feature = "vulkan") => Some(Self::Vulkan),
            "metal" if cfg!(feature = "metal") => Some(Self::Metal),
            _ => None,
        }
    }
}

/// Why a GPU did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The driver knows none of this number.
    #[error("there is no GPU {wanted}: {known}")]
    None {
        /// Its number.
        wanted: usize,
        /// What there is, or what is missing.
        known: String,
    },
    /// It cannot do what the shaders need.
    #[error("{name} cannot paint: {why}")]
    Lacks {
        /// The GPU.
        name: String,
        /// What it lacks.
        why: String,
    },
    /// A picture takes more memory than the GPU has, or hands out in one piece, or more groups of threads.
    #[error(
        "the GPU has no room for a picture of {width}x{height}: paint smaller (--max-size), or with --device cpu"
    )]
    TooLarge {
        /// Width of the picture.
        width: usize,
        /// Height of the picture.
        height: usize,
    },
    /// The driver refused or lost the GPU.
    #[error("the GPU failed: {0}")]
    Failed(String),
    /// It was not asked for, and the processor paints faster.
    #[error("the processor paints faster than {0}")]
    Slower(String),
    /// It paints something else than the processor.
    #[error(
        "its painting differs from the processor's by {mean:.2} of 255 in the mean and {largest} at most: it is not used"
    )]
    Differs {
        /// Mean difference.
        mean: f64,
        /// Largest difference.
        largest: u8,
    },
    /// The network or the style does not fit.
    #[error(transparent)]
    Network(#[from] KernelError),
}

/// A GPU.
#[derive(Clone, Debug)]
pub struct Gpu {
    opened: Arc<Opened>,
    asked: bool,
}

#[derive(Debug)]
struct Opened {
    device: wgpu::Device,
    queue: wgpu::Queue,
    description: String,
    /// Whether a processor plays the GPU.
    software: bool,
    /// The first thing that went wrong for good, as the driver tells it.
    failure: Arc<Mutex<Option<String>>>,
}

/// Memory of a group of threads that the shaders take at most: what WebGPU promises.
const GROUP_MEMORY: u32 = 16 << 10;

impl Gpu {
    /// Opens the GPU of a number, in the order of the driver but for this: large ones first, software last.
    ///
    /// # Errors
    /// When the driver has no such GPU, or it cannot do what is needed.
    pub fn open(backend: Backend, number: usize) -> Result<Self, GpuError> {
        let backends = match backend {
            Backend::Vulkan => wgpu::Backends::VULKAN,
            Backend::Metal => wgpu::Backends::METAL,
        };
        if !wgpu::Instance::enabled_backend_features().contains(backends) {
            return Err(GpuError::None {
                wanted: number,
                known: format!("this system has no {backend:?}"),
            });
        }
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            flags: wgpu::InstanceFlags::empty(),
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
        adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        });
        let names: Vec<_> = adapters
            .iter()
            .enumerate()
            .map(|(number, adapter)| format!("{number}, {}", adapter.get_info().name))
            .collect();
        let Some(adapter) = adapters.into_iter().nth(number) else {
            let known = match (backend, names.is_empty()) {
                (_, false) => format!("the driver knows {}", names.join("; ")),
                (Backend::Vulkan, true) => {
                    "the driver knows none (Vulkan comes with a GPU's driver; Debian and Ubuntu have it in mesa-vulkan-drivers)".into()
                }
                (Backend::Metal, true) => "the driver knows none".into(),
            };
            return Err(GpuError::None {
                wanted: number,
                known,
            });
        };
        let info = adapter.get_info();
        let name = info.name.clone();
        let lacks = |why: String| GpuError::Lacks {
            name: name.clone(),
            why,
        };
        let limits = adapter.limits();
        let needed = wgpu::Limits::defaults();
        if limits.max_storage_buffers_per_shader_stage < needed.max_storage_buffers_per_shader_stage
            || limits.max_compute_invocations_per_workgroup
                < needed.max_compute_invocations_per_workgroup
            || limits.max_compute_workgroup_storage_size < GROUP_MEMORY
            || !adapter
                .get_downlevel_capabilities()
                .flags
                .contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32)
        {
            return Err(lacks("it is not made for computing".into()));
        }
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_limits: limits,
            ..wgpu::DeviceDescriptor::default()
        }))
        .map_err(|error| lacks(error.to_string()))?;
        let failure = Arc::new(Mutex::new(None));
        let keep = |failure: &Arc<Mutex<Option<String>>>| {
            let failure = failure.clone();
            move |why: String| {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                // Validation is told in many lines.
                let line = why.split_whitespace().collect::<Vec<_>>().join(" ");
                first.get_or_insert(line);
            }
        };
        let (uncaptured, lost) = (keep(&failure), keep(&failure));
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            uncaptured(error.to_string());
        }));
        device.set_device_lost_callback(move |reason, why| match reason {
            wgpu::DeviceLostReason::Destroyed => {}
            wgpu::DeviceLostReason::Unknown => lost(format!("it was lost: {why}")),
        });
        Ok(Self {
            opened: Arc::new(Opened {
                device,
                queue,
                description: format!("{name} ({:?})", info.backend),
                software: info.device_type == wgpu::DeviceType::Cpu,
                failure,
            }),
            asked: true,
        })
    }

    /// The same GPU, for a user who did not ask for one: what it has no room for is painted elsewhere.
    #[must_use]
    pub fn unasked(self) -> Self {
        Self {
            asked: false,
            ..self
        }
    }

    /// Whether the user wants this GPU.
    #[must_use]
    pub fn is_asked_for(&self) -> bool {
        self.asked
    }

    /// Its name and how it is reached.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.opened.description
    }

    /// Whether it is a program that plays a GPU on the processor: right, and slower than the processor's own kernels.
    #[must_use]
    pub fn is_software(&self) -> bool {
        self.opened.software
    }

    fn device(&self) -> &wgpu::Device {
        &self.opened.device
    }

    fn queue(&self) -> &wgpu::Queue {
        &self.opened.queue
    }

    /// An error where something went wrong for good since the GPU was opened.
    fn check(&self) -> Result<(), GpuError> {
        let failure = self
            .opened
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            Some(failure) => Err(GpuError::Failed(failure.clone())),
            None => Ok(()),
        }
    }
}
