//! Any picture as a style: the predictor and the network that takes its style from it (Ghiasi et al. 2017).
//!
//! The predictor looks at the picture's central square and says 100 numbers; from them a linear map makes the scales and
//! shifts of each normalisation of the transform network. A picture is looked at once.

use candle_core::Device;
use image::{RgbImage, imageops};
use safetensors::SafeTensors;

use crate::{
    frame::Picture,
    kernels::{NetworkShape, StyleParameters, TransformWeights},
    models::{ANY_PREDICT, ANY_TRANSFORM, ModelError, ModelStore},
    nn::{
        style_predictor::{INPUT_SIDE, STYLE_NUMBERS, StylePredictor},
        weights::{floats, transform_weights},
    },
};

/// The linear maps of one normalised layer.
#[derive(Clone, Debug)]
struct Head {
    scale: Linear,
    shift: Linear,
}

#[derive(Clone, Debug)]
struct Linear {
    /// `[channel][STYLE_NUMBERS]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    fn extend(&self, numbers: &[f32], out: &mut Vec<f32>) {
        let rows = self.weight.chunks_exact(STYLE_NUMBERS).zip(&self.bias);
        out.extend(rows.map(|(row, bias)| {
            let sum: f32 = row.iter().zip(numbers).map(|(w, n)| w * n).sum();
            bias + sum
        }));
    }
}

/// Both networks.
#[derive(Debug)]
pub struct AnyPicture {
    predictor: StylePredictor,
    network: TransformWeights,
    heads: Vec<Head>,
}

impl AnyPicture {
    /// Loads both networks from `store`; the predictor runs on `device`.
    ///
    /// # Errors
    /// When a file is missing, damaged or holds something else.
    pub fn load(store: &ModelStore, device: &Device) -> Result<Self, ModelError> {
        let content = |file: &str| {
            let file = file.to_owned();
            move |reason: String| ModelError::Content { file, reason }
        };
        let bytes = store.read(ANY_PREDICT)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| content(ANY_PREDICT)(error.to_string()))?;
        let predictor = StylePredictor::new(&file, device).map_err(content(ANY_PREDICT))?;

        let bytes = store.read(ANY_TRANSFORM)?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| content(ANY_TRANSFORM)(error.to_string()))?;
        let shape = NetworkShape::ANY_PICTURE;
        let network = transform_weights(&file, shape).map_err(content(ANY_TRANSFORM))?;
        let heads = (0..shape.layers())
            .filter(|&layer| shape.layer(layer).normalised)
            .map(|layer| {
                let channels = shape.layer(layer).out_channels;
                let linear = |what: &str| {
                    let name = format!("{}.norm.{what}", shape.name(layer));
                    Ok::<_, String>(Linear {
                        weight: floats(
                            &file,
                            &format!("{name}.weight"),
                            &[channels, STYLE_NUMBERS],
                        )?,
                        bias: floats(&file, &format!("{name}.bias"), &[channels])?,
                    })
                };
                Ok(Head {
                    scale: linear("scale")?,
                    shift: linear("shift")?,
                })
            })
            .collect::<Result<_, _>>()
            .map_err(content(ANY_TRANSFORM))?;
        Ok(Self {
            predictor,
            network,
            heads,
        })
    }

    /// The transform network.
    pub fn network(&self) -> &TransformWeights {
        &self.network
    }

    /// The 100 numbers of a picture's style, from its central square.
    ///
    /// # Errors
    /// When the device fails.
    pub fn numbers(&self, picture: &Picture) -> candle_core::Result<Vec<f32>> {
        self.predictor.predict(&central_square(picture))
    }

    /// Scales and shifts from the 100 numbers.
    pub fn parameters(&self, numbers: &[f32]) -> StyleParameters {
        let (mut scale, mut shift) = (Vec::new(), Vec::new());
        for head in &self.heads {
            head.scale.extend(numbers, &mut scale);
            head.shift.extend(numbers, &mut shift);
        }
        StyleParameters { scale, shift }
    }
}

/// The largest square in the middle of a picture at the predictor's size.
fn central_square(picture: &Picture) -> Vec<u8> {
    let (width, height) = (picture.width() as u32, picture.height() as u32);
    let side = width.min(height);
    let Some(image) = RgbImage::from_raw(width, height, picture.rgb().to_vec()) else {
        // A picture always holds its pixels.
        return vec![0; INPUT_SIDE * INPUT_SIDE * 3];
    };
    let (left, top) = ((width - side) / 2, (height - side) / 2);
    let mut square = imageops::crop_imm(&image, left, top, side, side).to_image();
    let wanted = INPUT_SIDE as u32;
    if side > 3 * wanted {
        square = imageops::thumbnail(&square, 2 * wanted, 2 * wanted);
    }
    if square.width() != wanted {
        square = imageops::resize(&square, wanted, wanted, imageops::FilterType::Lanczos3);
    }
    square.into_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_becomes_a_square() {
        for (width, height) in [(1, 1), (256, 256), (300, 200), (20, 3000), (2000, 1000)] {
            let picture = Picture::new(width, height, vec![77; width * height * 3]).unwrap();
            let square = central_square(&picture);
            assert_eq!(square.len(), INPUT_SIDE * INPUT_SIDE * 3);
            assert!(square.iter().all(|&v| v == 77), "{width}x{height}");
        }
    }
}
