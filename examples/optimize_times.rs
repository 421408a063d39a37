//! Optimises a picture with Adam or L-BFGS at full size, or with L-BFGS from coarse to fine, and prints loss and time of
//! each step at full size, as JSON, for `benches/optimize_torch.py`. What smaller sizes took is in the first step's time.
//!
//! `optimize_times CONTENT STYLE STEPS usual|gatys [adam RATE | lbfgs | coarse]`: with the losses of the program, or with
//! style at all of relu1_1 ... relu5_1 and max pooling.

#![allow(clippy::print_stdout, reason = "an example speaks to its user")]

use std::{
    env,
    path::Path,
    sync::{Arc, mpsc},
    time::Instant,
};

use allaprima::{
    kernels::Pooling,
    models::{LOSS_NETWORK, ModelStore},
    nn::vgg::VggWeights,
    picture_file::PictureFile,
    source::Sizing,
    stylize::{
        Stylizer,
        optimize::{LossWeights, Method, Optimize, OptimizeSettings, Quality, layers},
    },
};
use safetensors::SafeTensors;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [content, style, steps, layered, method @ ..] = &args[..] else {
        return Err("optimize_times CONTENT STYLE STEPS usual|gatys [adam RATE | coarse]".into());
    };
    let read = |path: &str| PictureFile::read(Path::new(path), Sizing::Native);
    let bytes = ModelStore::open(None)?.read(LOSS_NETWORK)?.into_owned();
    let weights = VggWeights::load(&SafeTensors::deserialize(&bytes)?)?;
    let settings = OptimizeSettings {
        iterations: steps.parse()?,
        coarse_to_fine: method == ["coarse"],
        pooling: if layered == "gatys" {
            Pooling::Max
        } else {
            Pooling::Average
        },
        method: match method {
            [name, rate] if name == "adam" => Method::Adam {
                rate: rate.parse()?,
            },
            _ => Method::Lbfgs,
        },
        losses: if layered == "gatys" {
            gatys()
        } else {
            LossWeights::default()
        },
        ..OptimizeSettings::new(vec![(Arc::new(read(style)?.picture), 1.0)], Quality::Good)
    };
    let (sender, steps) = mpsc::sync_channel(100_000);
    let (mut begun, mut used) = (Instant::now(), processor_seconds());
    let mut painter = Optimize::new(&weights, settings).watched(Box::new(move |step| {
        if !step.is_full_size {
            return true;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let worked = processor_seconds() - used;
        (begun, used) = (Instant::now(), processor_seconds());
        sender.send((step.losses.total, (seconds, worked))).is_ok()
    }));
    let mut picture = read(content)?.picture;
    painter.paint(&mut picture)?;
    drop(painter);
    let (losses, times): (Vec<f64>, Vec<(f64, f64)>) = steps.iter().unzip();
    let (seconds, worked): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kib: f64 = peak
        .and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or(0.0);
    let result = serde_json::json!({
        "losses": losses, "seconds": seconds, "processor_seconds": worked, "peak_rss_mib": peak_kib / 1024.0,
    });
    println!("{result}");
    Ok(())
}

/// Seconds that all threads have worked so far, in steps of a hundredth, which Linux counts in.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    // User and system time are the 14th and 15th field; the first two are behind us.
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// What PyTorch is compared with: VGG-16 to conv5_1.
fn gatys() -> LossWeights {
    let names = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"];
    LossWeights {
        content: 1.0,
        style: 5.0,
        variation: 2.0,
        style_layers: layers(&names.map(|name| (name, 0.2))),
        ..LossWeights::default()
    }
}
