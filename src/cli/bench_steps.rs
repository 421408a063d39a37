//! What a step of painting by optimisation takes on an NVIDIA card, part of `allaprima bench --device cuda --layers`.

use std::{
    sync::{Arc, mpsc},
    time::Instant,
};

use allaprima::{
    device::PaintDevice,
    frame::Picture,
    models::{LOSS_NETWORK, ModelStore},
    nn::vgg::VggWeights,
    stylize::{
        Stylizer,
        optimize::{Method, Optimize, OptimizeSettings, Quality},
    },
};
use anyhow::{Error, Result, bail};
use safetensors::SafeTensors;
use serde::Serialize;

/// Steps of a run, and those at its beginning that do not count.
const STEPS: (usize, usize) = (12, 2);

/// How far the card's first loss may be from the processor's, as a share of it.
const BOUND: f64 = 0.005;

/// The side of the square that is painted beside the whole picture.
const SIDE: usize = 512;

#[derive(Serialize)]
pub struct StepTime {
    width: usize,
    height: usize,
    method: &'static str,
    /// Median of the steps of one run.
    ms: f64,
    /// The loss that the run came to.
    loss: f64,
}

impl std::fmt::Display for StepTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = format!("{}x{}", self.width, self.height);
        write!(
            f,
            "{size:>28} {:>9.3} {:>8} {:.4}",
            self.ms, self.method, self.loss
        )
    }
}

/// Times steps over the middle of a picture and over all of it, towards the look of the same picture the other way round;
/// before that the first loss is compared with the processor's. Nothing where the loss network is not at hand.
pub fn run(device: &PaintDevice, models: &ModelStore, picture: &Picture) -> Result<Vec<StepTime>> {
    let Ok(bytes) = models.read(LOSS_NETWORK) else {
        return Ok(Vec::new());
    };
    let weights = VggWeights::load(&SafeTensors::deserialize(&bytes)?).map_err(Error::msg)?;
    let mut found = Vec::new();
    for content in [&middle(picture), picture] {
        let turned = content.rgb().rchunks_exact(3).flatten().copied().collect();
        let style = Arc::new(Picture::new(content.width(), content.height(), turned)?);
        let settings = |method, iterations| OptimizeSettings {
            iterations,
            coarse_to_fine: false,
            method,
            ..OptimizeSettings::new(vec![(style.clone(), 1.0)], Quality::Good)
        };
        let adam = Method::Adam { rate: 4.0 };
        if content.width().max(content.height()) <= SIDE {
            let own = steps(Optimize::on(device, &weights, settings(adam, 1))?, content)?;
            let expected = steps(Optimize::new(&weights, settings(adam, 1)), content)?;
            let (own, expected) = (own.1[0], expected.1[0]);
            if (own - expected).abs() > BOUND * expected {
                bail!("the card's loss is {own:.5} where the processor's is {expected:.5}");
            }
        }
        for (name, method) in [("Adam", adam), ("L-BFGS", Method::Lbfgs)] {
            let painter = Optimize::on(device, &weights, settings(method, STEPS.0))?;
            let (mut times, losses) = steps(painter, content)?;
            times.drain(..STEPS.1.min(times.len()));
            found.push(StepTime {
                width: content.width(),
                height: content.height(),
                method: name,
                ms: super::bench_card::median(times),
                loss: losses.last().copied().unwrap_or(f64::NAN),
            });
        }
    }
    Ok(found)
}

/// Milliseconds and loss of each step.
fn steps(painter: Optimize, content: &Picture) -> Result<(Vec<f64>, Vec<f64>)> {
    let (sender, steps) = mpsc::sync_channel(STEPS.0);
    let mut begun = Instant::now();
    let mut painter = painter.watched(Box::new(move |step| {
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        begun = Instant::now();
        sender.send((ms, step.losses.total)).is_ok()
    }));
    painter.paint(&mut content.clone())?;
    drop(painter);
    let found: (Vec<f64>, Vec<f64>) = steps.iter().unzip();
    match found.0.is_empty() {
        true => bail!("the optimiser took no step"),
        false => Ok(found),
    }
}

/// The square in the middle of a picture, as large as [`SIDE`] or as it can be.
fn middle(picture: &Picture) -> Picture {
    let (width, height) = (picture.width(), picture.height());
    let side = SIDE.min(width).min(height);
    let (left, top) = ((width - side) / 2, (height - side) / 2);
    let rows = picture.rgb().chunks_exact(3 * width).skip(top).take(side);
    let pixels = rows.flat_map(|row| &row[3 * left..][..3 * side]);
    Picture::new(side, side, pixels.copied().collect()).unwrap_or_else(|_| picture.clone())
}
