//! What is meant: values checked, names resolved, each error naming the option.

use std::{num::NonZero, ops::Range, path::PathBuf, sync::Arc, thread::available_parallelism};

use allaprima::{
    models::{ModelError, ModelStore, PERSON},
    nn::person_net::PersonNet,
    pipeline::Steadying,
    source::Sizing,
    style::{Gallery, StyleChoice, StyleError, StyleMix},
    stylize::{
        BRUSHES, Brush, Colors, FeedForward, FeedForwardSettings, Finish, Finisher, Finishing,
        MaskSource, Region, Schedule, Stylizer, TwoStyles,
    },
    temporal::{
        flow::{FlowPreset, FlowScale, FlowSettings},
        steady::SteadySettings,
    },
};
use anyhow::{Context, Result, anyhow};
use candle_core::Device;

use super::{
    args::{ModelArgs, PaintArgs, StyleArgs},
    usage,
};

/// The style that is painted when none is named.
pub const DEFAULT_STYLE: &str = "starry";

/// The largest side that the options take, in pixels.
const LARGEST_SIDE: usize = 16_384;

/// `640x360`.
pub fn parse_size(text: &str) -> Result<Sizing, String> {
    let (width, height) = text
        .split_once(['x', 'X'])
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))
        .ok_or("write it as WIDTHxHEIGHT in pixels, such as 640x360")?;
    check_side(width)?;
    check_side(height)?;
    Ok(Sizing::Exact { width, height })
}

/// A longest side in pixels.
pub fn parse_max_size(text: &str) -> Result<Sizing, String> {
    let side = text
        .parse()
        .map_err(|_| "write a number of pixels, such as 1280")?;
    check_side(side)?;
    Ok(Sizing::MaxSide(side))
}

fn check_side(side: usize) -> Result<(), String> {
    let range = allaprima::stylize::MIN_SIDE..=LARGEST_SIDE;
    if range.contains(&side) {
        return Ok(());
    }
    Err(format!(
        "{side} pixels are out of range: a side has {} to {LARGEST_SIDE} pixels",
        range.start()
    ))
}

/// A number of threads.
pub fn parse_threads(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=256).contains(n))
        .ok_or_else(|| "write a number from 1 to 256".into())
}

/// What `--steady` says: a strength, or nothing for off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SteadyChoice(pub Option<f32>);

/// `off`, or a strength of 0 to 1; a strength of 0 changes nothing and so is off.
pub fn parse_steady(text: &str) -> Result<SteadyChoice, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(SteadyChoice(None));
    }
    text.parse()
        .ok()
        .filter(|strength| (0.0..=1.0).contains(strength))
        .map(|strength| SteadyChoice((strength > 0.0).then_some(strength)))
        .ok_or_else(|| "write a number from 0 (as painted) to 1 (steadiest), or off".into())
}

/// Seconds, `MM:SS` or `HH:MM:SS`, each with decimals if wanted.
pub fn parse_time(text: &str) -> Result<f64, String> {
    let bad = || "write seconds (12.5) or [HH:]MM:SS (1:02:03.5)".to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(bad());
    }
    let last = parts.len() - 1;
    parts.iter().enumerate().try_fold(0.0, |sum, (i, part)| {
        let well_formed = !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_digit() || (i == last && c == '.'));
        let value: f64 = part.parse().ok().filter(|_| well_formed).ok_or_else(bad)?;
        if i > 0 && value >= 60.0 {
            return Err(bad());
        }
        Ok(sum * 60.0 + value)
    })
}

/// As [`parse_time`], above zero.
pub fn parse_duration(text: &str) -> Result<f64, String> {
    match parse_time(text)? {
        seconds if seconds > 0.0 => Ok(seconds),
        _ => Err("it must be above 0".into()),
    }
}

/// Frames per second.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (1.0..=240.0).contains(rate))
        .ok_or_else(|| "write a number from 1 to 240".into())
}

/// Threads to use: as asked, else one per core.
pub fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get))
}

/// A strength of the style.
pub fn parse_strength(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|strength| (0.0..=1.0).contains(strength))
        .ok_or_else(|| "write a number from 0 (the picture as it is) to 1 (the style)".into())
}

/// A breadth of the brush.
pub fn parse_brush(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|breadth| BRUSHES.contains(breadth))
        .ok_or_else(|| {
            format!(
                "write a number from {} (half as broad) to {}",
                BRUSHES.start(),
                BRUSHES.end()
            )
        })
}

/// A gallery with the style that the options name in it.
pub struct Styles {
    pub gallery: Gallery,
    pub choice: StyleChoice,
    /// The pictures of the folder, if one was named.
    pub playlist: Option<Range<usize>>,
}

impl Styles {
    /// Loads the models and finds the style.
    pub fn open(style: &StyleArgs, models: &ModelArgs, device: &Device) -> Result<Self> {
        let store = ModelStore::open(models.models.as_deref())?;
        let mut gallery = Gallery::new(store, device.clone())?;
        let (choice, playlist) = match &style.style_image {
            Some(folder) if folder.is_dir() => {
                let playlist = gallery.add_folder(folder).map_err(of_style)?;
                (StyleChoice::single(playlist.start), Some(playlist))
            }
            Some(file) => {
                let number = gallery.add_picture(file).map_err(of_style)?;
                (StyleChoice::single(number), None)
            }
            None => (gallery.choose(&style.style).map_err(of_style)?, None),
        };
        Ok(Self {
            gallery,
            choice,
            playlist,
        })
    }

    /// Refuses a folder where nothing changes over time.
    pub fn without_playlist(self) -> Result<Self> {
        if self.playlist.is_some() {
            return Err(usage(anyhow!(
                "--style-image takes a folder with live and video only: name one picture"
            )));
        }
        Ok(self)
    }
}

/// Wrong usage is told apart from a file that fails.
fn of_style(error: StyleError) -> anyhow::Error {
    match error {
        StyleError::Choice(_) | StyleError::Folder { .. } | StyleError::NoPictures(_) => {
            usage(error)
        }
        _ => error.into(),
    }
}

/// The painter that the options describe.
pub struct Painter {
    gallery: Arc<Gallery>,
    choice: StyleChoice,
    settings: FeedForwardSettings,
    finish: Finish,
    brush: f32,
    schedule: Vec<(f64, StyleMix)>,
    mask: Option<Mask>,
    background: Option<StyleMix>,
}

/// The part that the options ask to be painted, for a painter of one style.
pub fn region(args: &PaintArgs) -> Result<Option<Region>> {
    let store = ModelStore::open(args.models.models.as_deref())?;
    let mask = Mask::open(args, &store, &Device::Cpu)?;
    mask.map(|mask| mask.region()).transpose()
}

/// Where is painted.
struct Mask {
    /// A file.
    path: PathBuf,
    /// In place of the file.
    person: Option<Arc<PersonNet>>,
    outside: bool,
    start: Option<f64>,
}

impl Mask {
    fn open(args: &PaintArgs, store: &ModelStore, device: &Device) -> Result<Option<Self>> {
        let Some(path) = &args.mask else {
            return Ok(None);
        };
        let person = if path.as_os_str() == "person" {
            let bytes = store.read(PERSON)?;
            let net = PersonNet::new(&bytes, device).map_err(|reason| ModelError::Content {
                file: PERSON.into(),
                reason,
            })?;
            Some(Arc::new(net))
        } else {
            MaskSource::open(path, None)?;
            None
        };
        Ok(Some(Self {
            path: path.clone(),
            person,
            outside: args.mask_invert,
            start: None,
        }))
    }

    fn region(&self) -> Result<Region> {
        let source = match &self.person {
            Some(net) => MaskSource::Person(net.clone()),
            None => MaskSource::open(&self.path, self.start)?,
        };
        Ok(Region::new(source, self.outside))
    }
}

impl Painter {
    /// Loads the models and resolves styles, finish and device.
    pub fn from_args(args: &PaintArgs) -> Result<Self> {
        let device = args.device.resolve().map_err(usage)?;
        let styles = Styles::open(&args.style, &args.models, &device)?;
        Self::new(args, styles, device, Vec::new())
    }

    /// As [`Painter::from_args`] for one picture at a time.
    pub fn for_pictures(args: &PaintArgs) -> Result<Self> {
        let device = args.device.resolve().map_err(usage)?;
        let styles = Styles::open(&args.style, &args.models, &device)?.without_playlist()?;
        Self::new(args, styles, device, Vec::new())
    }

    /// As [`Painter::from_args`] for a film of so many seconds, with the styles of `style_at` over time.
    pub fn for_film(
        args: &PaintArgs,
        style_at: Option<&str>,
        start: Option<f64>,
        seconds: Option<f64>,
    ) -> Result<Self> {
        let device = args.device.resolve().map_err(usage)?;
        let mut styles = Styles::open(&args.style, &args.models, &device)?;
        let mut plan = Vec::new();
        if let Some(text) = style_at {
            for (start, style) in parse_style_at(text).map_err(|error| usage(anyhow!(error)))? {
                plan.push((start, styles.gallery.choose(style).map_err(of_style)?));
            }
        } else if let Some(pictures) = styles.playlist.clone() {
            let Some(seconds) = seconds else {
                return Err(usage(anyhow!(
                    "how long the film is is not known, so the folder cannot be spread over it: use --style-at"
                )));
            };
            let each = seconds / pictures.len() as f64;
            plan = pictures
                .enumerate()
                .map(|(i, number)| (each * i as f64, StyleChoice::single(number)))
                .collect();
        }
        if let Some((_, first)) = plan.first() {
            styles.choice = first.clone();
        }
        let mut painter = Self::new(args, styles, device, plan)?;
        if let Some(mask) = &mut painter.mask {
            mask.start = start;
        }
        Ok(painter)
    }

    fn new(
        args: &PaintArgs,
        styles: Styles,
        device: Device,
        plan: Vec<(f64, StyleChoice)>,
    ) -> Result<Self> {
        let finish = Finish::new(args.opacity, args.colors(), args.saturation).map_err(usage)?;
        let Styles {
            mut gallery,
            choice,
            ..
        } = styles;
        let mask = Mask::open(args, gallery.store(), &device)?;
        let background = match &args.background {
            Some(text) => Some(gallery.choose(text).map_err(of_style)?),
            None => None,
        };
        let mix = |choice: &StyleChoice| -> Result<StyleMix> {
            let mix = gallery.mix(choice).map_err(of_style)?;
            Ok(mix.with_strength(args.strength))
        };
        let style = mix(&choice)?;
        let schedule = plan
            .iter()
            .map(|(start, choice)| Ok((*start, mix(choice)?)))
            .collect::<Result<Vec<_>>>()?;
        let background = background.as_ref().map(mix).transpose()?;
        let has_palette = style.palette().is_some()
            || schedule.iter().any(|(_, style)| style.palette().is_some());
        if finish.colors() == Colors::Match && !has_palette {
            return Err(usage(anyhow!(
                "--colors match takes the colours of a style picture: name one with --style-image"
            )));
        }
        let settings = FeedForwardSettings {
            style,
            match_colors: finish.colors() == Colors::Match,
            device,
            threads: threads(args.threads),
            precision: args.precision,
        };
        Ok(Self {
            gallery: Arc::new(gallery),
            choice,
            settings,
            finish,
            brush: args.brush,
            schedule,
            mask,
            background,
        })
    }

    /// The styles there are.
    pub fn gallery(&self) -> &Arc<Gallery> {
        &self.gallery
    }

    /// The style that is wanted.
    pub fn choice(&self) -> &StyleChoice {
        &self.choice
    }

    /// A stylizer and how to steady what it paints with `flow`; with `choice` off the stylizer does all there is.
    pub fn steady_stylizer(
        &self,
        choice: SteadyChoice,
        (preset, scale): (FlowPreset, FlowScale),
    ) -> Result<(Box<dyn Stylizer>, Option<Steadying>)> {
        let SteadyChoice(Some(strength)) = choice else {
            return Ok((self.stylizer()?, None));
        };
        let threads = self.settings.threads;
        let steadying = Steadying {
            settings: SteadySettings::new(strength, threads).map_err(usage)?,
            flow: FlowSettings {
                preset,
                scale,
                threads,
            },
            finish: self.finisher()?,
        };
        Ok((self.unfinished_stylizer()?, Some(steadying)))
    }

    /// A stylizer that leaves the finish to others.
    pub fn unfinished_stylizer(&self) -> Result<Box<dyn Stylizer>> {
        let mut stylizer = self.one_style(&self.settings.style)?;
        if let (Some(mask), Some(background)) = (&self.mask, &self.background) {
            let background = self.one_style(background)?;
            stylizer = Box::new(TwoStyles::new(stylizer, background, mask.region()?));
        }
        if !self.schedule.is_empty() {
            stylizer = Box::new(Schedule::new(stylizer, self.schedule.clone()));
        }
        Ok(stylizer)
    }

    fn one_style(&self, style: &StyleMix) -> Result<Box<dyn Stylizer>> {
        let settings = FeedForwardSettings {
            style: style.clone(),
            ..self.settings.clone()
        };
        let painter = FeedForward::new(self.gallery.clone(), settings);
        let painter = Box::new(painter.context("cannot set the network up")?);
        Ok(if self.brush == 1.0 {
            painter
        } else {
            Box::new(Brush::new(painter, self.brush))
        })
    }

    /// The part that is painted, unless the rest has a style of its own.
    pub fn region(&self) -> Result<Option<Region>> {
        match (&self.mask, &self.background) {
            (Some(mask), None) => Ok(Some(mask.region()?)),
            _ => Ok(None),
        }
    }

    fn finisher(&self) -> Result<Finisher> {
        Ok(Finisher {
            finish: self.finish,
            region: self.region()?,
        })
    }

    /// A stylizer that does all there is.
    pub fn stylizer(&self) -> Result<Box<dyn Stylizer>> {
        let finishing = Finishing::new(self.unfinished_stylizer()?, self.finisher()?);
        Ok(Box::new(finishing))
    }
}

/// `0:starry,10:ink`, or with blends `0:starry:0.6,ink:0.4;10:ink`: seconds and styles.
fn parse_style_at(text: &str) -> Result<Vec<(f64, &str)>, String> {
    let separator = if text.contains(';') { ';' } else { ',' };
    let entries = text.split(separator).map(|entry| {
        let (time, style) = entry
            .split_once(':')
            .ok_or_else(|| format!("--style-at: '{entry}' is not written as SECOND:STYLE"))?;
        let seconds = time
            .trim()
            .parse()
            .ok()
            .filter(|s: &f64| s.is_finite() && *s >= 0.0)
            .ok_or_else(|| format!("--style-at: '{time}' is not a number of seconds"))?;
        Ok((seconds, style.trim()))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            parse_size("640x360"),
            Ok(Sizing::Exact {
                width: 640,
                height: 360
            })
        );
        assert_eq!(parse_max_size("1280"), Ok(Sizing::MaxSide(1280)));
        for bad in [
            "",
            "640",
            "x",
            "640x",
            "-1x5",
            "640x31",
            "99999x360",
            "640x360x2",
        ] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
        assert!(parse_max_size("31").unwrap_err().contains("32"));
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("12.5"), Ok(12.5));
        assert_eq!(parse_time("1:02"), Ok(62.0));
        assert_eq!(parse_time("1:02:03.5"), Ok(3723.5));
        for bad in [
            "", "-1", "1:60", "a", "1:2:3:4", "1.5:00", "inf", "nan", "1e3",
        ] {
            assert!(parse_time(bad).is_err(), "{bad:?}");
        }
        assert!(parse_duration("0").is_err());
        assert_eq!(parse_duration("0.5"), Ok(0.5));
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("12.5"), Ok(12.5));
        for bad in ["0", "-1", "nan", "inf", "1000", ""] {
            assert!(parse_rate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn steadiness() {
        assert_eq!(parse_steady("off"), Ok(SteadyChoice(None)));
        assert_eq!(parse_steady("0"), Ok(SteadyChoice(None)));
        assert_eq!(parse_steady("0.5"), Ok(SteadyChoice(Some(0.5))));
        for bad in ["", "on", "-0.1", "1.01", "nan", "inf"] {
            assert!(parse_steady(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn styles_over_time() {
        assert_eq!(
            parse_style_at("0:starry, 10.5:a.jpg"),
            Ok(vec![(0.0, "starry"), (10.5, "a.jpg")])
        );
        assert_eq!(
            parse_style_at("0:starry:0.6,7:0.4;2:7"),
            Ok(vec![(0.0, "starry:0.6,7:0.4"), (2.0, "7")])
        );
        for bad in ["", "starry", "0:starry,ink", "-1:ink", "x:ink", "nan:ink"] {
            assert!(parse_style_at(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn strengths_and_brushes() {
        assert_eq!(
            (parse_strength("0.5"), parse_brush("4")),
            (Ok(0.5), Ok(4.0))
        );
        for bad in ["", "-0.1", "nan", "many", "9"] {
            assert!(
                parse_strength(bad).is_err() && parse_brush(bad).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn thread_counts() {
        assert_eq!(parse_threads("3"), Ok(3));
        assert!(parse_threads("0").is_err());
        assert!(parse_threads("many").is_err());
    }
}
