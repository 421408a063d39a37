//! Optical flow on request, for `benches/flow_opencv.py`: `flow_times WIDTH HEIGHT PRESET SCALE THREADS FRAMES`.
//!
//! FRAMES is a file of 8-bit grey frames. Each line of standard input asks for one thing and is answered by one line:
//! `between A B [FILE]` finds the flow from frame A to frame B, writes u then v as little-endian `f32` to FILE, and
//! answers with milliseconds; `push A [FILE]` pushes frame A and answers with the milliseconds of both directions and
//! the masks (FILE receives backward u, v, forward u, v, confidence, then the consistent mask as bytes).

use allaprima::temporal::flow::{FlowEstimator, FlowPreset, FlowScale, FlowSettings, Luma};
use std::io::{BufRead, Write};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [width, height, preset, scale, threads, frames] = &arguments[..] else {
        return Err("flow_times WIDTH HEIGHT PRESET SCALE THREADS FRAMES".into());
    };
    let (width, height): (usize, usize) = (width.parse()?, height.parse()?);
    let preset = match preset.as_str() {
        "ultrafast" => FlowPreset::UltraFast,
        "fast" => FlowPreset::Fast,
        _ => FlowPreset::Medium,
    };
    let scale = match scale.as_str() {
        "half" => FlowScale::Half,
        _ => FlowScale::Full,
    };
    let frames: Vec<Luma> = std::fs::read(frames)?
        .chunks_exact(width * height)
        .filter_map(|pixels| Luma::new(width, height, pixels.to_vec()))
        .collect();
    let settings = FlowSettings {
        preset,
        scale,
        threads: threads.parse()?,
    };
    let mut estimator = FlowEstimator::new(settings);
    let save = |file: Option<&str>, planes: &[&[f32]], mask: &[u8]| -> std::io::Result<()> {
        let Some(file) = file else { return Ok(()) };
        let mut bytes: Vec<u8> = planes
            .iter()
            .flat_map(|plane| plane.iter().flat_map(|value| value.to_le_bytes()))
            .collect();
        bytes.extend_from_slice(mask);
        std::fs::write(file, bytes)
    };
    let mut output = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let frame = |word: usize| -> Result<&Luma, Box<dyn std::error::Error>> {
            let index: usize = words.get(word).ok_or("a frame is missing")?.parse()?;
            Ok(frames.get(index).ok_or("no such frame")?)
        };
        let millis = if words.first() == Some(&"push") {
            let luma = frame(1)?;
            let begin = Instant::now();
            let motion = estimator.push(luma);
            let millis = begin.elapsed().as_secs_f64() * 1e3;
            if let Some(motion) = motion {
                let planes = [
                    &motion.backward.u[..],
                    &motion.backward.v,
                    &motion.forward.u,
                    &motion.forward.v,
                    &motion.confidence,
                ];
                save(words.get(2).copied(), &planes, &motion.consistent)?;
                estimator.recycle(motion);
            }
            millis
        } else {
            let (template, target) = (frame(1)?, frame(2)?);
            let begin = Instant::now();
            let flow = estimator
                .between(template, target)
                .ok_or("frames of two sizes")?;
            let millis = begin.elapsed().as_secs_f64() * 1e3;
            save(words.get(3).copied(), &[&flow.u, &flow.v], &[])?;
            millis
        };
        writeln!(output, "{millis:.3}")?;
        output.flush()?;
    }
    Ok(())
}
