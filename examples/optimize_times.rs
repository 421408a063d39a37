//! Optimises a picture with Adam or L-BFGS at full size, or with L-BFGS from coarse to fine, and prints loss and time of
//! each step at full size, as JSON, for `benches/optimize_torch.py`. What smaller sizes took is in the first step's time.
//!
//! `optimize_times CONTENT STYLE STEPS [adam RATE | lbfgs | coarse]`

#![allow(clippy::print_stdout, reason = "an example speaks to its user")]

use std::{env, path::Path, sync::mpsc, time::Instant};

use allaprima::{
    kernels::Pooling,
    models::{LOSS_NETWORK, ModelStore},
    nn::vgg::VggWeights,
    picture_file::PictureFile,
    source::Sizing,
    stylize::{
        Stylizer,
        optimize::{Method, Optimize, OptimizeSettings, Quality},
    },
};
use safetensors::SafeTensors;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [content, style, steps, method @ ..] = &args[..] else {
        return Err("optimize_times CONTENT STYLE STEPS [adam RATE | lbfgs | coarse]".into());
    };
    let read = |path: &str| PictureFile::read(Path::new(path), Sizing::Native);
    let bytes = ModelStore::open(None)?.read(LOSS_NETWORK)?.into_owned();
    let weights = VggWeights::load(&SafeTensors::deserialize(&bytes)?)?;
    let settings = OptimizeSettings {
        iterations: steps.parse()?,
        coarse_to_fine: method == ["coarse"],
        pooling: Pooling::Max,
        method: match method {
            [name, rate] if name == "adam" => Method::Adam {
                rate: rate.parse()?,
            },
            _ => Method::Lbfgs,
        },
        ..OptimizeSettings::new(vec![(read(style)?.picture, 1.0)], Quality::Good)
    };
    let (sender, steps) = mpsc::sync_channel(100_000);
    let mut begun = Instant::now();
    let mut painter = Optimize::new(&weights, settings).watched(Box::new(move |step| {
        if !step.is_full_size {
            return true;
        }
        let seconds = begun.elapsed().as_secs_f64();
        begun = Instant::now();
        sender.send((step.losses.total, seconds)).is_ok()
    }));
    let mut picture = read(content)?.picture;
    painter.paint(&mut picture)?;
    drop(painter);
    let (losses, seconds): (Vec<f64>, Vec<f64>) = steps.iter().unzip();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kib: f64 = peak
        .and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok())
        .unwrap_or(0.0);
    let result = serde_json::json!({
        "losses": losses, "seconds": seconds, "peak_rss_mib": peak_kib / 1024.0,
    });
    println!("{result}");
    Ok(())
}
