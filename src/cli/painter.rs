//! The painter that the options describe: styles found, masks opened, stylizers put together.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use allaprima::{
    device::PaintDevice,
    models::{ModelError, ModelStore, PERSON},
    nn::person_net::PersonNet,
    picture_file::ends_early,
    pipeline::Steadying,
    style::{Gallery, NetworkKind, PackQuality, StyleChoice, StyleError, StyleMix, StylePack},
    stylize::{
        Brush, Colors, FeedForward, FeedForwardSettings, Finish, Finisher, Finishing, MaskSource,
        Region, Schedule, Stylizer, TwoStyles,
    },
    temporal::{flow::FlowSettings, steady::SteadySettings},
};
use anyhow::{Context, Result, anyhow};

use super::{
    args::{ModelArgs, PaintArgs, StyleArgs},
    print,
    settings::{QualityChoice, SteadyChoice, parse_style_at, threads},
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
    /// Loads the models and finds the style. `auto` is the network that paints where the options leave it open, if it is
    /// shipped; `others` are further styles, which may name the pack.
    pub fn open(
        style: &StyleArgs,
        models: &ModelArgs,
        auto: PackQuality,
        others: &[&str],
    ) -> Result<Self> {
        let store = ModelStore::open(models.models.as_deref())?;
        let mut named = others.iter().copied().chain([style.style.as_str()]);
        let file = named.find_map(Gallery::pack_file);
        let pack = pack(&store, style.quality, auto, file)?;
        Self::of_gallery(
            Gallery::of_pack(store, candle_core::Device::Cpu, pack),
            style,
        )
    }

    /// As [`Styles::open`] for painters that take pictures as their style and no network.
    pub fn of_pictures(style: &StyleArgs, models: &ModelArgs) -> Result<Self> {
        let store = ModelStore::open(models.models.as_deref())?;
        Self::of_gallery(Gallery::new(store, candle_core::Device::Cpu)?, style)
    }

    /// Finds the style in `gallery`.
    pub fn of_gallery(mut gallery: Gallery, style: &StyleArgs) -> Result<Self> {
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
        for &(number, _) in choice.weights() {
            gallery
                .picture_path(number)
                .iter()
                .for_each(|path| tell_of_an_early_end(path));
        }
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
                "--style-image takes a folder only where pictures follow one another (live, and video with --engine fast): \
                 name one picture"
            )));
        }
        Ok(self)
    }
}

/// Tells of a style picture that is not all there.
pub fn tell_of_an_early_end(picture: &Path) {
    if let Some(note) = early_end(picture) {
        print::note(note);
    }
}

/// What is to be said of a picture's file that ends too soon.
pub fn early_end(picture: &Path) -> Option<String> {
    ends_early(picture).then(|| {
        format!(
            "{} ends too soon: a part of the picture may be missing (grey, or coarse)",
            picture.display()
        )
    })
}

/// The pack that the options ask for: `file`, or the one of a quality.
fn pack(
    store: &ModelStore,
    quality: QualityChoice,
    auto: PackQuality,
    file: Option<&Path>,
) -> Result<StylePack> {
    let quality = match (quality, file) {
        (QualityChoice::Auto, Some(file)) => return Ok(StylePack::open(&store.pack_file(file))?),
        (QualityChoice::Pack(_), Some(file)) => {
            return Err(usage(anyhow!(
                "--quality chooses among the packs that come with the program: {} is one of its own",
                file.display()
            )));
        }
        (QualityChoice::Work(_), _) => {
            return Err(usage(anyhow!(
                "--quality draft, good and best belong to --engine optimize: --engine fast takes auto, swift, fine or \
                 reference"
            )));
        }
        (QualityChoice::Auto, None) if store.has(auto.file()) => auto,
        (QualityChoice::Auto, None) => PackQuality::Reference,
        (QualityChoice::Pack(quality), None) if store.has(quality.file()) => quality,
        (QualityChoice::Pack(quality), None) => {
            return Err(usage(anyhow!(
                "--quality {quality}: there is no such pack among the models (a pack of your own is named by its file: \
                 --style pack.safetensors)"
            )));
        }
    };
    Ok(StylePack::load_quality(store, quality)?)
}

/// The network for what has to keep up with a camera, where none is named: an NVIDIA card does with any.
pub fn live_quality(device: &PaintDevice) -> PackQuality {
    match device {
        #[cfg(feature = "cuda")]
        PaintDevice::Cuda(_) => PackQuality::Reference,
        _ => PackQuality::Swift,
    }
}

/// Wrong usage is told apart from a file that fails.
pub fn of_style(error: StyleError) -> anyhow::Error {
    match error {
        StyleError::Choice(_)
        | StyleError::Folder { .. }
        | StyleError::NoPictures(_)
        | StyleError::OtherPack { .. } => usage(error),
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
    notes: Vec<String>,
}

/// The part of the picture that the options ask to paint, for other painters than [`Painter`]; `start` is where a film
/// of masks starts, in seconds.
pub fn region(args: &PaintArgs, store: &ModelStore, start: Option<f64>) -> Result<Option<Region>> {
    let Some(mask) = Mask::open(args, store)? else {
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
    /// Whether there was anything in it.
    found: Arc<AtomicU8>,
}

impl Mask {
    fn open(args: &PaintArgs, store: &ModelStore) -> Result<Option<Self>> {
        let Some(path) = &args.mask else {
            return Ok(None);
        };
        let person = if path.as_os_str() == "person" {
            let bytes = store.read(PERSON)?;
            let net = PersonNet::new(&bytes).map_err(|reason| ModelError::Content {
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
            found: Arc::default(),
        }))
    }

    fn region(&self) -> Result<Region> {
        let source = match &self.person {
            Some(net) => MaskSource::Person(net.clone()),
            None => MaskSource::open(&self.path, self.start)?,
        };
        Ok(Region::new(source, self.outside).watched(self.found.clone()))
    }
}

impl Painter {
    /// Loads the models and resolves styles, finish and device, for a camera.
    pub fn for_camera(args: &PaintArgs) -> Result<Self> {
        let device = args.device.resolve().map_err(usage)?;
        let styles = Self::styles(args, live_quality(&device), &[])?;
        Self::new(args, styles, device, Vec::new())
    }

    /// As [`Painter::for_camera`] for one picture at a time.
    pub fn for_pictures(args: &PaintArgs) -> Result<Self> {
        let device = args.device.resolve().map_err(usage)?;
        let styles = Self::styles(args, PackQuality::Reference, &[])?;
        Self::new(args, styles.without_playlist()?, device, Vec::new())
    }

    fn styles(args: &PaintArgs, auto: PackQuality, others: &[&str]) -> Result<Styles> {
        let others: Vec<_> = others
            .iter()
            .copied()
            .chain(args.background.as_deref())
            .collect();
        Styles::open(&args.style, &args.models, auto, &others)
    }

    /// As [`Painter::for_camera`] for a film of so many seconds, with the styles of `style_at` over time.
    pub fn for_film(
        args: &PaintArgs,
        style_at: Option<&str>,
        start: Option<f64>,
        seconds: Option<f64>,
    ) -> Result<Self> {
        let device = args.device.resolve().map_err(usage)?;
        let times = match style_at {
            Some(text) => parse_style_at(text).map_err(|error| usage(anyhow!(error)))?,
            None => Vec::new(),
        };
        let named: Vec<&str> = times.iter().map(|(_, style)| *style).collect();
        let mut args = args.clone();
        if let Some(first) = named.first() {
            // The default style may not be in the pack.
            (*first).clone_into(&mut args.style.style);
        }
        let args = &args;
        let mut styles = Self::styles(args, PackQuality::Reference, &named)?;
        let mut plan = Vec::new();
        if style_at.is_some() {
            for &(start, style) in &times {
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
        let late = times
            .iter()
            .filter(|(begin, _)| seconds.is_some_and(|end| *begin >= end));
        painter.notes.extend(late.map(|(begin, style)| {
            let end = seconds.unwrap_or_default();
            format!("the film ends after {end:.1} s: --style-at {begin}:{style} is not reached")
        }));
        if let Some(mask) = &mut painter.mask {
            mask.start = start;
        }
        Ok(painter)
    }

    fn new(
        args: &PaintArgs,
        styles: Styles,
        device: PaintDevice,
        plan: Vec<(f64, StyleChoice)>,
    ) -> Result<Self> {
        let finish = Finish::new(args.opacity, args.colors(), args.saturation).map_err(usage)?;
        let Styles {
            mut gallery,
            choice,
            ..
        } = styles;
        let mask = Mask::open(args, gallery.store())?;
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
            paint_bars: args.paint_bars,
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
            notes: Vec::new(),
        })
    }

    /// The styles there are.
    pub fn gallery(&self) -> &Arc<Gallery> {
        &self.gallery
    }

    /// The styles that are painted, at any time and place.
    fn mixes(&self) -> impl Iterator<Item = &StyleMix> {
        let film = std::iter::once(&self.settings.style);
        film.chain(self.schedule.iter().map(|(_, mix)| mix))
            .chain(&self.background)
    }

    /// Where the styles of a pack that are painted come from: a quality or a file.
    pub fn pack(&self) -> Option<&str> {
        self.mixes()
            .any(|mix| mix.share(NetworkKind::Pack) > 0.0)
            .then(|| self.gallery.pack().origin())
    }

    /// Tells what a user should know about what was asked for.
    pub fn tell_notes(&self) {
        let weakened = self
            .mixes()
            .any(|mix| mix.strength() < 1.0 && mix.share(NetworkKind::Pack) > 0.0);
        self.notes.iter().cloned().for_each(print::note);
        if weakened && self.gallery.pack().neutral().is_none() {
            note!(
                "this style pack has no neutral style, so --strength mixes the painting with the picture"
            );
        }
    }

    /// What a user should know about what was painted since this was asked: that there was nothing in the mask.
    pub fn mask_note(&self) -> Option<&'static str> {
        let mask = self.mask.as_ref()?;
        let found = mask.found.swap(0, Ordering::Relaxed);
        match (&mask.person, mask.outside) {
            _ if found & Region::TOO_SHORT != 0 => {
                Some("the film of masks ended early: its last mask stayed to the end")
            }
            (Some(_), false) if found & Region::SOMETHING == 0 => {
                Some("nobody was found, so nothing was painted as a person")
            }
            (Some(_), true) if found & Region::SOMETHING == 0 => {
                Some("nobody was found, so everything was painted")
            }
            (None, false) if found & Region::SOMETHING == 0 => {
                Some("the mask is black throughout, so nothing was painted inside of it")
            }
            (None, true) if found & Region::SOMETHING == 0 => {
                Some("the mask is black throughout, so everything was painted")
            }
            (_, true) if found & Region::ELSE == 0 => {
                Some("the mask is white throughout, so nothing was painted outside of it")
            }
            _ => None,
        }
    }

    /// The style that is wanted.
    pub fn choice(&self) -> &StyleChoice {
        &self.choice
    }

    /// A stylizer and how to steady what it paints with `flow`; with `choice` off the stylizer does all there is.
    pub fn steady_stylizer(
        &self,
        choice: SteadyChoice,
        flow: FlowSettings,
        passes: usize,
    ) -> Result<(Box<dyn Stylizer>, Option<Steadying>)> {
        let SteadyChoice(Some(strength)) = choice else {
            return Ok((self.stylizer()?, None));
        };
        let steadying = Steadying {
            settings: SteadySettings::new(strength, self.settings.threads).map_err(usage)?,
            flow,
            passes,
            left_out: 0,
            finish: self.finisher()?,
            measured: false,
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
