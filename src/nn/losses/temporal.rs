//! Losses that hold a film's paintings to one another along the motion.
//!
//! `warped` is always an earlier frame carried to the present one ([`super::backward_warp`]); gradients flow into the
//! present frame, and into the earlier one too if its tensor is tracked.

use candle_core::{Result, Tensor};

/// (1/D) Σ c·(x − warped)², D the number of values: the short-term loss of Ruder et al. (2016).
///
/// # Errors
/// When shapes do not fit or the device fails.
pub fn short_term(x: &Tensor, warped: &Tensor, confidence: &Tensor) -> Result<Tensor> {
    (x - warped)?.sqr()?.broadcast_mul(confidence)?.sum_all()? / x.elem_count() as f64
}

/// Confidences of several earlier frames, nearest first, so that each pixel is held by the nearest frame that shows it:
/// c_j ← max(0, c_j − Σ of the nearer) (Ruder et al. 2016, long-term).
///
/// # Errors
/// As [`short_term`].
pub fn nearest_first(confidences: &[Tensor]) -> Result<Vec<Tensor>> {
    let mut nearer: Option<Tensor> = None;
    let mut weights = Vec::with_capacity(confidences.len());
    for confidence in confidences {
        weights.push(match &nearer {
            None => confidence.clone(),
            Some(nearer) => (confidence - nearer)?.relu()?,
        });
        nearer = Some(match nearer {
            None => confidence.clone(),
            Some(nearer) => (nearer + confidence)?,
        });
    }
    Ok(weights)
}

/// The sum of [`short_term`] over earlier frames (warped, confidence), nearest first, with the weights of
/// [`nearest_first`].
///
/// # Errors
/// As [`short_term`]; when there are no frames.
pub fn long_term(x: &Tensor, earlier: &[(Tensor, Tensor)]) -> Result<Tensor> {
    let confidences: Vec<Tensor> = earlier.iter().map(|(_, c)| c.clone()).collect();
    let mut sum: Option<Tensor> = None;
    for ((warped, _), weight) in earlier.iter().zip(nearest_first(&confidences)?) {
        let loss = short_term(x, warped, &weight)?;
        sum = Some(match sum {
            None => loss,
            Some(sum) => (sum + loss)?,
        });
    }
    sum.ok_or_else(|| candle_core::Error::Msg("a long-term loss needs an earlier frame".into()))
}

/// ReCoNet's output loss (Gao et al. 2018): (1/D) Σ mask·‖(output − warped output) − (input − warped input)_Y‖², where Y
/// is the relative luminance 0.2126 R + 0.7152 G + 0.0722 B of linear RGB, taken off every channel. A change of the
/// scene's light may change the painting.
///
/// # Errors
/// As [`short_term`]; when the input has other than three channels.
pub fn luminance_aware(
    (output, warped_output): (&Tensor, &Tensor),
    (input, warped_input): (&Tensor, &Tensor),
    mask: &Tensor,
) -> Result<Tensor> {
    let weights = Tensor::new(&[0.2126_f64, 0.7152, 0.0722], input.device())?
        .to_dtype(input.dtype())?
        .reshape((1, 3, 1, 1))?;
    let light = (input - warped_input)?
        .broadcast_mul(&weights)?
        .sum_keepdim(1)?;
    (output - warped_output)?
        .broadcast_sub(&light)?
        .sqr()?
        .broadcast_mul(mask)?
        .sum_all()?
        / output.elem_count() as f64
}

/// ReCoNet's feature loss: [`short_term`] on an encoder's features, the mask (and motion) at their size.
///
/// # Errors
/// As [`short_term`].
pub fn feature_temporal(features: &Tensor, warped: &Tensor, mask: &Tensor) -> Result<Tensor> {
    short_term(features, warped, mask)
}

/// The frame-difference loss, which needs no motion: `pixel_weight`·MSE(Δoutput, Δinput) +
/// `feature_weight`·L1(Δφ(output), Δφ(input)), Δ being the difference of two frames and φ features; usual weights are 10
/// and 600 for pictures of 0..1. Each pair is (now, before).
///
/// # Errors
/// As [`short_term`].
pub fn frame_difference(
    output: (&Tensor, &Tensor),
    input: (&Tensor, &Tensor),
    output_features: (&Tensor, &Tensor),
    input_features: (&Tensor, &Tensor),
    (pixel_weight, feature_weight): (f64, f64),
) -> Result<Tensor> {
    let change = |(now, before): (&Tensor, &Tensor)| now - before;
    let pixels = (change(output)? - change(input)?)?.sqr()?.mean_all()?;
    let features = (change(output_features)? - change(input_features)?)?;
    (pixels * pixel_weight)? + (features.abs()?.mean_all()? * feature_weight)?
}
