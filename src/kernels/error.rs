//! What can be wrong with a network, a style or a picture handed to the kernels.

use super::InstructionSet;

/// Why an engine could not be built, or a picture not be painted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A layer's weights do not have the shape that the network needs.
    #[error("layer {layer} should be {expected} but the weights hold {found}")]
    WeightShape {
        /// Name of the layer, such as `residual.3.1`.
        layer: String,
        /// Shape that the network needs, OIHW.
        expected: String,
        /// Shape that was handed in.
        found: String,
    },
    /// A network has no layers.
    #[error("the network has no layers")]
    NoLayers,
    /// A style does not have one scale and one shift per normalised channel.
    #[error("a style needs {expected} scales and shifts, this one has {scales} and {shifts}")]
    StyleLength {
        /// Channels of all normalised layers together.
        expected: usize,
        /// Scales found.
        scales: usize,
        /// Shifts found.
        shifts: usize,
    },
    /// A style has a scale or shift that is infinite or no number.
    #[error("a scale or a shift of the style is not a finite number: its file is damaged")]
    StyleValue,
    /// A picture is smaller than the network can paint.
    #[error("a picture of {width}x{height} is too small: the smallest side is {minimum} pixels")]
    TooSmall {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Smallest side in pixels.
        minimum: usize,
    },
    /// A pixel buffer does not hold `width * height * 3` values.
    #[error(
        "a picture of {width}x{height} needs {expected} values, the {buffer} buffer has {found}"
    )]
    BufferLength {
        /// Which buffer: `input` or `output`.
        buffer: &'static str,
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
        /// Values that the picture has.
        expected: usize,
        /// Values that the buffer has.
        found: usize,
    },
    /// An instruction set was asked for that this processor lacks.
    #[error("this processor has no {0}")]
    MissingInstructionSet(InstructionSet),
    /// A precision was asked for that this processor has no instructions for.
    #[error("this processor has no fast {0} arithmetic: use --precision auto or f32")]
    MissingPrecision(&'static str),
    /// No style was set before painting.
    #[error("no style was set: call set_style before paint")]
    NoStyle,
    /// A worker thread could not be started.
    #[error("could not start a painting thread: {0}")]
    Thread(String),
}
