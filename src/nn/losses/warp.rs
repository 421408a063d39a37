//! A picture carried along a motion field, differentiable by the picture.

use candle_core::{D, Result, Tensor};

/// `x` (N×C×H×W) looked up bilinearly at (column + u, row + v), `u` and `v` in pixels, H×W: what an earlier frame shows
/// where the backward flow (u, v) says the present one came from. Places outside take the value of the edge.
///
/// # Errors
/// When shapes do not fit or the device fails.
pub fn backward_warp(x: &Tensor, u: &[f32], v: &[f32]) -> Result<Tensor> {
    let (n, c, height, width) = x.dims4()?;
    if u.len() != height * width || v.len() != height * width {
        candle_core::bail!("a motion field of {} values for {width}x{height}", u.len());
    }
    let flat = x.reshape((n, c, height * width))?;
    let (right, bottom) = ((width - 1) as f32, (height - 1) as f32);
    let mut sum: Option<Tensor> = None;
    // One gather for each of the four neighbours.
    for (down, across) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let mut places = Vec::with_capacity(u.len());
        let mut shares = Vec::with_capacity(u.len());
        for (i, (u, v)) in u.iter().zip(v).enumerate() {
            let px = ((i % width) as f32 + u).clamp(0.0, right);
            let py = ((i / width) as f32 + v).clamp(0.0, bottom);
            let (x0, y0) = (px.floor(), py.floor());
            let share = |fraction: f32, next: usize| {
                if next == 1 { fraction } else { 1.0 - fraction }
            };
            shares.push(share(px - x0, across) * share(py - y0, down));
            let column = (x0 as usize + across).min(width - 1);
            let row = (y0 as usize + down).min(height - 1);
            places.push((row * width + column) as u32);
        }
        let places = Tensor::from_vec(places, u.len(), x.device())?;
        let shares = Tensor::from_vec(shares, u.len(), x.device())?.to_dtype(x.dtype())?;
        let part = flat
            .index_select(&places, D::Minus1)?
            .broadcast_mul(&shares)?;
        sum = Some(match sum {
            None => part,
            Some(sum) => (sum + part)?,
        });
    }
    match sum {
        Some(sum) => sum.reshape((n, c, height, width)),
        None => Ok(x.clone()),
    }
}
