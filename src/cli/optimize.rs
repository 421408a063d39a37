//! The options of `--engine optimize`, and the painter they describe.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use allaprima::{
    frame::Picture,
    models::{LOSS_NETWORK, ModelStore},
    nn::vgg::VggWeights,
    picture_file::PictureFile,
    pipeline::Control,
    style::{Gallery, StyleChoice},
    stylize::{
        Colors, Finish, Finisher, Finishing, Region, Stylizer,
        optimize::{LossWeights, Method, Optimize, OptimizeSettings, Quality},
    },
};
use anyhow::{Context, Result, anyhow};
use candle_core::Device;
use safetensors::SafeTensors;

use super::{
    args::PaintArgs,
    follow::Follow,
    painter::{self, Styles},
    settings, usage,
};

/// How paintings are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// One pass of a network: real time
    #[default]
    Fast,
    /// The picture is optimised towards --style-image: the boldest, seconds to minutes per picture
    Optimize,
}

/// How the optimisation goes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Optimizing")]
pub struct OptimizeArgs {
    /// How to paint: fast (real time) or optimize (boldest, seconds to minutes per picture; wants pictures as style)
    #[arg(
        long,
        value_name = "NAME",
        default_value = "fast",
        hide_possible_values = true
    )]
    pub engine: Engine,

    /// How much the style counts against the content, 0.01 to 100
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = parse_weight)]
    pub style_weight: f32,

    /// Steps at full size [default: 10 for draft, 30 for good, 120 for best; with live, for each picture: 1, 2, 4]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub iterations: Option<u32>,

    /// Time for one picture at most: seconds, or [HH:]MM:SS
    #[arg(long, value_name = "TIME", value_parser = settings::parse_duration)]
    pub time_limit: Option<f64>,

    /// End a size early when its loss falls by less than this many percent in ten steps, 0 to 50; 0: never
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = parse_settled)]
    pub settled: f64,

    /// Write the loss of every step to FILE (comma-separated: frame, size, step, seconds, and the terms of the loss)
    #[arg(long, value_name = "FILE")]
    pub loss_log: Option<PathBuf>,

    /// Optimise with Adam in place of L-BFGS, in steps of this many pixel values
    #[arg(long, value_name = "RATE", hide = true)]
    pub adam: Option<f32>,
}

pub fn parse_weight(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|factor| (0.01..=100.0).contains(factor))
        .ok_or_else(|| "write a number from 0.01 to 100".into())
}

fn parse_settled(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|percent| (0.0..=50.0).contains(percent))
        .ok_or_else(|| "write a number from 0 to 50".into())
}

/// Pictures with their weights.
type Pictures = Vec<(Arc<Picture>, f32)>;

/// The files of a choice with their weights; `option` is where it was made.
fn files<'a>(
    gallery: &'a Gallery,
    choice: &'a StyleChoice,
    option: &str,
) -> Result<Vec<(&'a Path, f32)>> {
    let files = choice.weights().iter().map(|&(number, weight)| {
        let path = gallery.picture_path(number).ok_or_else(|| {
            let name = &gallery.styles()[number].name;
            usage(anyhow!(
                "--engine optimize paints in the style of pictures and {name} is none: name one with {option} FILE, \
                 or several with {option} FILE:0.6,FILE:0.4"
            ))
        })?;
        Ok((path, weight))
    });
    files.collect()
}

fn read(files: &[(&Path, f32)]) -> Result<Pictures> {
    let read = |&(path, weight): &(&Path, f32)| {
        Ok((Arc::new(PictureFile::read_style(path)?.picture), weight))
    };
    files.iter().map(read).collect()
}

/// What is painted one after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Film {
    /// Where it starts, in seconds.
    pub start: Option<f64>,
    /// How firmly its paintings are held together, 0..1; 0: pictures on their own.
    pub steady: f32,
}

/// What paints for a camera.
pub struct LivePaint {
    /// The style pictures, to choose among.
    pub gallery: Gallery,
    pub choice: StyleChoice,
    pub stylizer: Box<dyn Stylizer>,
    /// The part that is painted, unless the stylizer sees to it.
    pub region: Option<Region>,
}

impl OptimizeArgs {
    /// The log of losses, beside what else is written.
    pub fn written<'a>(&'a self, output: Option<(&'a str, &'a Path)>) -> Vec<(&'a str, &'a Path)> {
        let log = self.loss_log.as_deref().map(|path| ("--loss-log", path));
        output.into_iter().chain(log).collect()
    }

    /// Whether the options ask for this engine.
    pub fn is_chosen(&self) -> bool {
        self.engine == Engine::Optimize
    }

    /// Refuses options that only this engine knows when it was not chosen; `more` are such options of one command, and
    /// whether they were given.
    ///
    /// # Errors
    /// Wrong usage, naming the first of them.
    pub fn check(&self, more: &[(&str, bool)]) -> Result<()> {
        let own = [
            ("--style-weight", self.style_weight != 1.0),
            ("--iterations", self.iterations.is_some()),
            ("--time-limit", self.time_limit.is_some()),
            ("--settled", self.settled != 0.0),
            ("--loss-log", self.loss_log.is_some()),
            ("--adam", self.adam.is_some()),
        ];
        let given = own.iter().chain(more).find(|(_, given)| *given);
        match given {
            Some((option, _)) if !self.is_chosen() => Err(usage(anyhow!(
                "{option} belongs to --engine optimize: add that, or leave {option} out"
            ))),
            _ => Ok(()),
        }
    }

    /// What prints and logs the steps.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn follow(&self, control: &Arc<Control>, overwrite: bool) -> Result<Follow> {
        Follow::new(control.clone(), self.loss_log.as_deref(), overwrite)
    }

    /// The painter that the options describe; `prepare` may still change it.
    pub fn stylizer(
        &self,
        paint: &PaintArgs,
        film: Film,
        prepare: impl FnOnce(Optimize) -> Optimize,
    ) -> Result<Box<dyn Stylizer>> {
        let (painter, finisher) = self.unfinished(paint, film)?;
        let painter = prepare(painter);
        Ok(Box::new(Finishing::new(Box::new(painter), finisher)))
    }

    /// The painter that the options describe, and what is done to its paintings.
    pub fn unfinished(&self, paint: &PaintArgs, film: Film) -> Result<(Optimize, Finisher)> {
        // First of all: reading the styles may already work on these threads.
        use_threads(settings::threads(paint.threads))?;
        let finish = Finish::new(paint.opacity, paint.colors(), paint.saturation).map_err(usage)?;
        let styles = Styles::of_pictures(&paint.style, &paint.models)?.without_playlist()?;
        let pictures = files(&styles.gallery, &styles.choice, "--style-image")?;
        let (painter, region) = self.painter(paint, film, read(&pictures)?, |usual| usual)?;
        Ok((painter, Finisher { finish, region }))
    }

    /// What paints for a camera: a few steps for each picture.
    pub fn live(
        &self,
        paint: &PaintArgs,
        prepare: impl FnOnce(Optimize) -> Optimize,
    ) -> Result<LivePaint> {
        use_threads(settings::threads(paint.threads))?;
        let named = Styles::of_pictures(&paint.style, &paint.models)?;
        files(&named.gallery, &named.choice, "--style-image")?;
        let store = ModelStore::open(paint.models.models.as_deref())?;
        let styles = Styles::of_gallery(Gallery::for_pictures(store)?, &paint.style)?;
        let pictures = read(&files(&styles.gallery, &styles.choice, "--style-image")?)?;
        let film = Film {
            start: None,
            steady: 1.0,
        };
        let (painter, region) = self.painter(paint, film, pictures, |usual| {
            let steps = match self.iterations {
                Some(steps) => steps as usize,
                None => live_steps(paint.style.quality),
            };
            let losses = LossWeights {
                // The strength is set below, and later by the keys.
                style: LossWeights::default().style * self.style_weight,
                ..usual.losses
            };
            OptimizeSettings {
                losses,
                iterations: steps,
                next_iterations: steps,
                coarse_to_fine: false,
                long_term: false,
                ..usual
            }
        })?;
        let painter = painter.with_strength(paint.strength);
        Ok(LivePaint {
            gallery: styles.gallery,
            choice: styles.choice,
            stylizer: Box::new(prepare(painter)),
            region,
        })
    }

    /// The painter in the style of `pictures`, and the part that is painted unless the painter sees to it; `change` may
    /// change what the options say.
    fn painter(
        &self,
        paint: &PaintArgs,
        film: Film,
        pictures: Pictures,
        change: impl FnOnce(OptimizeSettings) -> OptimizeSettings,
    ) -> Result<(Optimize, Option<Region>)> {
        if paint.colors() == Colors::Match {
            return Err(usage(anyhow!(
                "--colors match belongs to --engine fast: --engine optimize takes the style's colours by itself"
            )));
        }
        let quality = match paint.style.quality {
            settings::QualityChoice::Auto => Quality::default(),
            settings::QualityChoice::Work(quality) => quality,
            settings::QualityChoice::Pack(pack) => {
                return Err(usage(anyhow!(
                    "--quality {pack} belongs to --engine fast: --engine optimize takes draft, good or best"
                )));
            }
        };
        let store = ModelStore::open(paint.models.models.as_deref())?;
        let weights = loss_network(&store)?;
        let usual = OptimizeSettings::new(pictures, quality);
        let iterations = self.iterations.map_or(usual.iterations, |n| n as usize);
        let settings = OptimizeSettings {
            style_scale: paint.brush,
            losses: LossWeights {
                style: usual.losses.style * self.style_weight * paint.strength,
                temporal: usual.losses.temporal * film.steady,
                ..usual.losses
            },
            iterations,
            next_iterations: iterations.div_ceil(5),
            budget: self.time_limit.map(Duration::from_secs_f64),
            settled: self.settled / 100.0,
            method: self.adam.map_or(usual.method, |rate| Method::Adam { rate }),
            threads: settings::threads(paint.threads),
            ..usual
        };
        let device = paint.device.resolve().map_err(usage)?;
        let painter = Optimize::on(&device, &weights, change(settings))?;
        let region = painter::region(paint, &store, film.start)?;
        Ok(match (region, &paint.background) {
            (Some(region), Some(background)) => {
                let mut gallery = Gallery::new(store, Device::Cpu)?;
                let choice = gallery.choose(background).map_err(painter::of_style)?;
                let outside = read(&files(&gallery, &choice, "--background")?)?;
                (painter.with_background(region, outside), None)
            }
            (region, _) => (painter, region),
        })
    }
}

/// Steps for each picture of a camera.
fn live_steps(quality: settings::QualityChoice) -> usize {
    match quality {
        settings::QualityChoice::Work(Quality::Draft) => 1,
        settings::QualityChoice::Work(Quality::Best) => 4,
        _ => 2,
    }
}

/// The network that paintings are looked at with.
pub fn loss_network(store: &ModelStore) -> Result<VggWeights> {
    let bytes = store.read(LOSS_NETWORK)?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("model file {LOSS_NETWORK} cannot be read"))?;
    VggWeights::load(&file)
        .map_err(|reason| anyhow!("model file {LOSS_NETWORK} does not hold VGG-16: {reason}"))
}

/// Lets the loss network, which works on rayon's threads, have `threads` of them.
pub fn use_threads(threads: usize) -> Result<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .context("cannot set the number of threads")
}
