//! The arguments of the kernels, as the kernels declare them. Pointers are addresses on the card.

/// One convolution.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Convolution {
    pub(super) input: u64,
    pub(super) scale: u64,
    pub(super) shift: u64,
    pub(super) least: u64,
    pub(super) trunk: u64,
    pub(super) trunk_out: u64,
    pub(super) weights: u64,
    pub(super) bias: u64,
    pub(super) output: u64,
    pub(super) totals: u64,
    pub(super) done: u64,
    pub(super) style_scale: u64,
    pub(super) style_shift: u64,
    pub(super) next_scale: u64,
    pub(super) next_shift: u64,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) picture_width: i32,
    pub(super) picture_height: i32,
    pub(super) out_width: i32,
    pub(super) out_height: i32,
    pub(super) channels: i32,
    pub(super) stored: i32,
    pub(super) kernel: i32,
    pub(super) kernel_width: i32,
    pub(super) stride: i32,
    pub(super) stride_across: i32,
    pub(super) groups: i32,
    pub(super) border: i32,
    pub(super) source: i32,
    pub(super) single: i32,
    pub(super) single_output: i32,
    pub(super) relu_output: i32,
    pub(super) shuffle: i32,
    pub(super) norm_channels: i32,
    pub(super) style_channels: i32,
    pub(super) pixels: f32,
    pub(super) epsilon: f32,
    pub(super) add: i32,
    pub(super) factor: f32,
    pub(super) pixel_weights: u64,
    pub(super) gate: u64,
}

/// `Convolution::border`: mirrored about the edge pixel, the edge pixel repeated, or zeros.
pub(super) const REFLECT: i32 = 0;
pub(super) const REPEAT: i32 = 1;
pub(super) const ZERO: i32 = 2;

/// `Convolution::source`: a tensor, an RGB picture, or one in blocks of 4×4 pixels.
pub(super) const TENSOR: i32 = 0;
pub(super) const PICTURE: i32 = 1;
pub(super) const BLOCKS: i32 = 2;

/// The last layer as a picture.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Finish {
    pub(super) value: u64,
    pub(super) scale: u64,
    pub(super) shift: u64,
    pub(super) picture: u64,
    pub(super) width: i32,
    pub(super) picture_width: i32,
    pub(super) picture_height: i32,
}

/// 2×2 pooling, forward or backward.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Pool {
    pub(super) features: u64,
    pub(super) pooled: u64,
    pub(super) gradient: u64,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) pieces: i32,
    pub(super) average: i32,
}

/// A Gram matrix in parts.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Gram {
    pub(super) features: u64,
    pub(super) pixel_weights: u64,
    pub(super) parts: u64,
    pub(super) pixels: i32,
    pub(super) channels: i32,
    pub(super) pixels_of_part: i32,
}

/// The sum of parts.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    pub(super) parts: u64,
    pub(super) out: u64,
    pub(super) count: i32,
    pub(super) size: i32,
}

/// Squared differences and their gradient.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Difference {
    pub(super) features: u64,
    pub(super) target: u64,
    pub(super) pixel_weights: u64,
    pub(super) gradient: u64,
    pub(super) parts: u64,
    pub(super) pieces: i32,
    pub(super) pieces_per_pixel: i32,
    pub(super) slope: f32,
    pub(super) add: i32,
}

/// A change of an optimiser's vector.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct VectorChange {
    pub(super) to: u64,
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) z: u64,
    pub(super) first: f32,
    pub(super) second: f32,
    pub(super) count: i32,
    pub(super) what: i32,
}

/// A sum over an optimiser's vectors, in parts.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct VectorSum {
    pub(super) a: u64,
    pub(super) b: u64,
    pub(super) parts: u64,
    pub(super) count: i32,
    pub(super) what: i32,
}

/// A canvas, as planes and as the loss network takes it, and the losses on its pixels.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Canvas {
    pub(super) planes: u64,
    pub(super) pixels: u64,
    pub(super) gradient: u64,
    pub(super) target: u64,
    pub(super) confidence: u64,
    pub(super) parts: u64,
    pub(super) mean: [f32; 3],
    pub(super) factor: f32,
    pub(super) variation: f32,
    pub(super) range: f32,
    pub(super) temporal: f32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) begin: i32,
}

/// Octaves whose texture is paid back: `OCTAVES` of the kernels.
pub(super) const OCTAVES: usize = 4;

/// One size of the pyramid of steadying.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Level {
    pub(super) blend: u64,
    pub(super) painting: u64,
    pub(super) carry: u64,
    pub(super) blend_colour: u64,
    pub(super) painting_colour: u64,
    pub(super) carry_colour: u64,
    pub(super) energies: u64,
    pub(super) repair: u64,
    pub(super) usual: u64,
    pub(super) next_usual: u64,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// Everything that steadying works with.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Steadying {
    pub(super) levels: [Level; OCTAVES + 1],
    pub(super) input: u64,
    pub(super) picture: u64,
    pub(super) history: u64,
    pub(super) history_colour: u64,
    pub(super) u: u64,
    pub(super) v: u64,
    pub(super) consistent: u64,
    pub(super) current: u64,
    pub(super) previous: u64,
    pub(super) difference: u64,
    pub(super) weight: u64,
    pub(super) light_sums: u64,
    pub(super) light: u64,
    pub(super) age_before: u64,
    pub(super) age: u64,
    pub(super) trust: u64,
    pub(super) turns: u64,
    pub(super) renewal: u64,
    pub(super) lost: u64,
    pub(super) taps: u64,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) octave: i32,
    pub(super) known: i32,
    pub(super) grey: i32,
    pub(super) mix: f32,
    pub(super) firmness: f32,
}

/// The ceiling of the products.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Peak {
    pub(super) out: u64,
    pub(super) rounds: i32,
}

/// Levels of the largest picture: `FLOW_LEVELS` of the kernels.
pub(super) const FLOW_LEVELS: usize = 10;

/// One size of the two pictures between which motion is looked for.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct FlowLevel {
    pub(super) image: [u64; 2],
    pub(super) smooth: [u64; 2],
    pub(super) width: i32,
    pub(super) height: i32,
}

/// Everything that finding motion works with.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Flow {
    pub(super) levels: [FlowLevel; FLOW_LEVELS],
    pub(super) picture: u64,
    pub(super) patches: u64,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) terms: u64,
    pub(super) disagreement: u64,
    pub(super) u: u64,
    pub(super) v: u64,
    pub(super) consistent: u64,
    pub(super) samples: u64,
    pub(super) counts: u64,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) now: i32,
    pub(super) level: i32,
    pub(super) coarser: i32,
    pub(super) factor: i32,
    pub(super) spacing: i32,
    pub(super) columns: i32,
    pub(super) rows: i32,
    pub(super) steps: i32,
    pub(super) sample_step: i32,
    pub(super) brightness: f32,
    pub(super) gradient: f32,
    pub(super) smoothness: f32,
}

/// The kernels' arguments as one type.
macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The argument of one launch.
        #[derive(Debug, Clone)]
        pub enum Parameters {
            $($(#[$doc])* $name(Box<$name>),)*
        }

        $(
            impl From<$name> for Parameters {
                fn from(own: $name) -> Self {
                    Self::$name(Box::new(own))
                }
            }

            // SAFETY: plain numbers, laid out as the kernels declare them.
            #[cfg(feature = "cuda")]
            unsafe impl cudarc::driver::DeviceRepr for $name {}
        )*

        impl Parameters {
            /// Gives them to a kernel.
            #[cfg(feature = "cuda")]
            pub(super) fn pass<'a>(&'a self, to: &mut cudarc::driver::LaunchArgs<'a>) {
                match self {
                    $(Self::$name(own) => cudarc::driver::PushKernelArg::arg(to, &**own),)*
                };
            }

            /// Their bytes.
            #[cfg(test)]
            pub(super) fn bytes(&self) -> (*const std::ffi::c_void, usize) {
                match self {
                    $(Self::$name(own) => (std::ptr::from_ref(&**own).cast(), size_of::<$name>()),)*
                }
            }
        }
    };
}

parameters! {
    /// Of all that begin with `convolve_`, `features_` or `gradient_`.
    Convolution,
    /// Of `finish`.
    Finish,
    /// Of `product_peak`.
    Peak,
    /// Of `pool` and `unpool`.
    Pool,
    /// Of `gram`.
    Gram,
    /// Of `sum_parts`.
    Sum,
    /// Of `difference`.
    Difference,
    /// Of `vector_change`.
    VectorChange,
    /// Of `vector_sum`.
    VectorSum,
    /// Of all that begin with `canvas_`.
    Canvas,
    /// Of all that begin with `steady_`.
    Steadying,
    /// Of all that begin with `flow_`.
    Flow,
}
