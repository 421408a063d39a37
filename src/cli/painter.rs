//! The painter that the options describe: styles found, masks opened, stylizers put together.

use std::{ops::Range, path::PathBuf, sync::Arc};

use allaprima::{
    models::{ModelError, ModelStore, PERSON},
    nn::person_net::PersonNet,
    pipeline::Steadying,
    style::{Gallery, StyleChoice, StyleError, StyleMix},
    stylize::{
        Brush, Colors, FeedForward, FeedForwardSettings, Finish, Finisher, Finishing, MaskSource,
        Region, Schedule, Stylizer, TwoStyles,
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
    settings::{SteadyChoice, parse_style_at, threads},
    usage,
};

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

/// The part of the picture that the options ask to paint, for other painters than [`Painter`]; `start` is where a film
/// of masks starts, in seconds.
pub fn region(args: &PaintArgs, store: &ModelStore, start: Option<f64>) -> Result<Option<Region>> {
    let Some(mask) = Mask::open(args, store, &Device::Cpu)? else {
        return Ok(None);
    };
    Mask { start, ..mask }.region().map(Some)
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
