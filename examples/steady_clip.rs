//! Steadies a clip that was painted frame by frame, to measure settings without painting again:
//!
//! ```text
//! steady_clip INPUT PAINTED OUTPUT.mkv [strength] [ultrafast|fast|medium] [full|half] [passes]
//! ```
//!
//! Prints the mean times per frame of the flow and of the steadying.
#![allow(clippy::print_stdout)]

use std::{path::Path, time::Instant};

use allaprima::{
    frame::{Frame, Packet, Picture},
    sink::{FrameSink, VideoFileSink, VideoSinkSettings},
    source::{FrameSource, Sizing, VideoFileSource, VideoSourceSettings},
    temporal::{
        flow::{FlowEstimator, FlowPreset, FlowScale, FlowSettings, Luma},
        steady::{FurtherPasses, Pass, PassOnProcessor, Steady, SteadySettings},
    },
};
use anyhow::{Result, anyhow};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [input, painted, output, options @ ..] = &args[..] else {
        return Err(anyhow!("INPUT PAINTED OUTPUT [strength] [preset] [scale]"));
    };
    let option = |at: usize, default| options.get(at).map_or(default, String::as_str);
    let threads = 2;
    let open = |path: &str, size| {
        let settings = VideoSourceSettings {
            size,
            start: None,
            duration: None,
            keep_tracks: false,
            threads,
            picture_rate: None,
        };
        VideoFileSource::open(Path::new(path), settings)
    };
    let mut paintings = open(painted, Sizing::Native)?;
    let (width, height) = (paintings.info().width, paintings.info().height);
    let mut inputs = open(input, Sizing::Exact { width, height })?;
    let settings = VideoSinkSettings {
        lossless: true,
        overwrite: true,
        threads,
        ..VideoSinkSettings::default()
    };
    let mut sink = VideoFileSink::create(
        Path::new(output),
        paintings.info(),
        paintings.description(),
        settings,
    )?;
    let flow_settings = FlowSettings {
        preset: match option(1, "medium") {
            "ultrafast" => FlowPreset::UltraFast,
            "fast" => FlowPreset::Fast,
            _ => FlowPreset::Medium,
        },
        scale: if option(2, "full") == "half" {
            FlowScale::Half
        } else {
            FlowScale::Full
        },
        threads,
    };
    let mut flow = FlowEstimator::new(flow_settings);
    let steady_settings = SteadySettings::new(option(0, "1").parse()?, threads)?;
    let mut steady = Steady::new(steady_settings)?;
    let passes = option(3, "1").parse()?;
    let pass = || -> Result<Box<dyn Pass>> {
        let pass = PassOnProcessor::new(steady_settings, flow_settings)?;
        Ok(Box::new(pass))
    };
    let mut further = match passes {
        1 => None,
        _ => Some(FurtherPasses::new(passes, pass)?),
    };
    let write = |sink: &mut VideoFileSink, pictures: Vec<(Picture, Frame)>| {
        pictures.into_iter().try_for_each(|(picture, mut frame)| {
            frame.picture = picture;
            sink.frame(frame)
        })
    };
    let (mut flow_time, mut steady_time, mut further_time, mut frames) = (0.0, 0.0, 0.0, 0);
    while let (Packet::Frame(input), Packet::Frame(mut painting)) =
        (inputs.next()?, paintings.next()?)
    {
        let started = Instant::now();
        let luma = Luma::from_rgb(&input.picture);
        let motion = flow.push(&luma);
        let found = motion.as_ref().and_then(|_| flow.found());
        flow_time += started.elapsed().as_secs_f64();
        let started = Instant::now();
        painting.picture = steady.push(painting.picture, &luma, motion.as_ref());
        steady_time += started.elapsed().as_secs_f64();
        if let Some(motion) = motion {
            flow.recycle(motion);
        }
        frames += 1;
        let Some(further) = &mut further else {
            sink.frame(painting)?;
            continue;
        };
        let started = Instant::now();
        let picture = std::mem::replace(&mut painting.picture, Picture::black(0, 0));
        let done = further.push(picture, luma, found, steady_settings, painting)?;
        further_time += started.elapsed().as_secs_f64();
        write(&mut sink, done)?;
    }
    if let Some(further) = &mut further {
        let started = Instant::now();
        let done = further.finish()?;
        further_time += started.elapsed().as_secs_f64();
        write(&mut sink, done)?;
    }
    sink.finish()?;
    let mean = |time: f64| time * 1000.0 / f64::from(frames.max(1));
    println!(
        "{frames} frames of {width}x{height}: flow {:.1} ms, steady {:.1} ms, further passes {:.1} ms",
        mean(flow_time),
        mean(steady_time),
        mean(further_time)
    );
    Ok(())
}
