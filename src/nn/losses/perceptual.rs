//! Content, style and smoothness (Gatys et al. 2016, Johnson et al. 2016).

use candle_core::{Result, Tensor};

/// ‖features − target‖² / ‖target‖²: 0 when equal, near 1 for unrelated pictures.
///
/// # Errors
/// When shapes differ or the device fails.
pub fn content(features: &Tensor, target: &Tensor) -> Result<Tensor> {
    relative(features, target)
}

/// Gram matrices F·Fᵀ / (H·W) of N×C×H×W features: N×C×C.
///
/// # Errors
/// When the device fails.
pub fn gram(features: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = features.dims4()?;
    let flat = features.reshape((n, c, h * w))?;
    flat.matmul(&flat.t()?.contiguous()?)? / (h * w) as f64
}

/// ‖gram(features) − target‖² / ‖target‖², Frobenius norms.
///
/// # Errors
/// As [`content`].
pub fn style(features: &Tensor, target_gram: &Tensor) -> Result<Tensor> {
    relative(&gram(features)?, target_gram)
}

fn relative(value: &Tensor, target: &Tensor) -> Result<Tensor> {
    let norm = target.sqr()?.sum_all()?;
    (value - target)?.sqr()?.sum_all()?.div(&norm)
}

/// The sum over channels of squared differences to the right and lower neighbour, per pixel of the picture.
///
/// # Errors
/// When a side has one pixel only, or the device fails.
pub fn total_variation(x: &Tensor) -> Result<Tensor> {
    let (n, _, height, width) = x.dims4()?;
    let across = (x.narrow(3, 1, width - 1)? - x.narrow(3, 0, width - 1)?)?;
    let down = (x.narrow(2, 1, height - 1)? - x.narrow(2, 0, height - 1)?)?;
    (across.sqr()?.sum_all()? + down.sqr()?.sum_all()?)? / (n * height * width) as f64
}
