//! Where a picture is painted: a mask from a file, a film, or a person in the picture.
//!
//! A mask is a plane of 0..255 of the picture's size. A person's is found on a small picture, steadied in time (small
//! changes, which are the network's doubt, are followed slowly; large ones, which are motion, at once) and brought to
//! full size along the picture's own edges by [`upscale()`].

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use super::{Finish, StylizeError, Stylizer, mask_film::MaskFilm, upscale};
use crate::{
    frame::Picture,
    media::scale::Scaler,
    nn::person_net::{PersonNet, SIDE},
    picture_file::{PictureError, PictureFile},
    source::SourceError,
    style::StyleMix,
};

/// How fast a mask follows a small change, per picture.
const SLOW: f32 = 0.25;
/// Changes of likelihood under this count as doubt, changes of twice as much as motion.
const DOUBT: f32 = 0.2;

/// Why there is no mask.
#[derive(Debug, thiserror::Error)]
pub enum MaskError {
    /// The picture cannot be read.
    #[error("the mask cannot be used")]
    Picture(#[from] PictureError),
    /// The film cannot be read.
    #[error("the mask cannot be used")]
    Film(#[source] SourceError),
}

/// Where masks come from.
pub enum MaskSource {
    /// A picture: white is inside. Of a picture with transparency, what is opaque is inside.
    Still(Picture),
    /// A film.
    Film(Box<MaskFilm>),
    /// Whoever is in the picture.
    Person(Arc<PersonNet>),
}

impl fmt::Debug for MaskSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Still(_) => "Still",
            Self::Film(_) => "Film",
            Self::Person(_) => "Person",
        })
    }
}

impl MaskSource {
    /// A picture file, or else a film, whose masks begin at second `start`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn open(path: &Path, start: Option<f64>) -> Result<Self, MaskError> {
        match PictureFile::read_style(path) {
            Ok(file) => Ok(Self::Still(match file.alpha {
                Some(alpha) => {
                    let grey = alpha.iter().flat_map(|&a| [a; 3]).collect();
                    let (width, height) = (file.picture.width(), file.picture.height());
                    Picture::new(width, height, grey).unwrap_or(file.picture)
                }
                None => file.picture,
            })),
            Err(error @ PictureError::Open { .. }) => Err(error.into()),
            Err(_) => match MaskFilm::new(path, start) {
                Ok(film) => Ok(Self::Film(Box::new(film))),
                Err(error) => Err(MaskError::Film(error)),
            },
        }
    }
}

/// Values up to here, of a black mask, are what its compression left.
const TRACE: u8 = 9;

/// A mask and which side of it is painted.
pub struct Region {
    source: MaskSource,
    outside: bool,
    /// Of the next picture, in seconds from the first on, where that is known.
    time: Option<f64>,
    scaler: Scaler,
    likelihood: Vec<f32>,
    /// What masks had so far.
    found: Arc<AtomicU8>,
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.outside { "outside" } else { "inside" };
        write!(f, "Region({side} of {:?})", self.source)
    }
}

impl Region {
    /// There is something inside of a mask.
    pub const SOMETHING: u8 = 1;
    /// There is something outside of it.
    pub const ELSE: u8 = 2;
    /// The film of masks ended early.
    pub const TOO_SHORT: u8 = 4;

    /// Paints inside the mask, or `outside` of it.
    pub fn new(source: MaskSource, outside: bool) -> Self {
        Self {
            source,
            outside,
            time: None,
            scaler: Scaler::default(),
            likelihood: Vec::new(),
            found: Arc::default(),
        }
    }

    /// Adds [`Region::SOMETHING`] and [`Region::ELSE`] to `found` as soon as there is any of them in a mask, and
    /// [`Region::TOO_SHORT`].
    #[must_use]
    pub fn watched(mut self, found: Arc<AtomicU8>) -> Self {
        self.found = found;
        self
    }

    /// The next picture does not continue the last one.
    pub fn reset(&mut self) {
        self.likelihood.clear();
    }

    /// Says when the next picture is shown, in seconds from the start of the film: a film of masks goes along with it. Where
    /// nobody does, each picture has a mask of its own.
    pub fn set_time(&mut self, seconds: f64) {
        self.time = Some(seconds);
    }

    /// How much of each pixel of `picture` is painted, 0..255.
    ///
    /// # Errors
    /// When the network or the mask's film fails.
    pub fn mask(&mut self, picture: &Picture) -> Result<Vec<u8>, StylizeError> {
        let (width, height) = (picture.width(), picture.height());
        let refused = |_| StylizeError::TooSmall { width, height };
        let mut mask = match &mut self.source {
            MaskSource::Still(mask) => {
                let sized = self.scaler.scale(mask, (width, height)).map_err(refused)?;
                plane(&sized)
            }
            MaskSource::Film(film) => {
                let mask = film.at(self.time)?.cloned();
                if film.is_over() {
                    self.found.fetch_or(Self::TOO_SHORT, Ordering::Relaxed);
                }
                match mask {
                    Some(mask) => {
                        let sized = self.scaler.scale(&mask, (width, height)).map_err(refused)?;
                        plane(&sized)
                    }
                    None => vec![0; width * height],
                }
            }
            MaskSource::Person(net) => {
                let small = self.scaler.scale(picture, (SIDE, SIDE)).map_err(refused)?;
                follow(&mut self.likelihood, net.forward(small.rgb()));
                let grey = self.likelihood.iter().flat_map(|&p| [firm(p); 3]).collect();
                let small = Picture::new(SIDE, SIDE, grey).unwrap_or(small);
                plane(&upscale(&small, picture))
            }
        };
        // Of a person less than one half is doubt.
        let least = match &self.source {
            MaskSource::Person(_) => 128,
            _ => TRACE,
        };
        let something = u8::from(mask.iter().any(|&value| value >= least)) * Self::SOMETHING;
        let outside = u8::from(mask.iter().any(|&value| value <= 255 - TRACE)) * Self::ELSE;
        self.found.fetch_or(something | outside, Ordering::Relaxed);
        if self.outside {
            mask.iter_mut().for_each(|m| *m = 255 - *m);
        }
        Ok(mask)
    }
}

/// Brings what is held nearer to what was found: slowly where they nearly agree.
fn follow(held: &mut Vec<f32>, found: Vec<f32>) {
    if held.len() != found.len() {
        *held = found;
        return;
    }
    for (held, found) in held.iter_mut().zip(found) {
        let change = (found - *held).abs();
        let motion = ((change - DOUBT) / DOUBT).clamp(0.0, 1.0);
        *held += (found - *held) * (SLOW + (1.0 - SLOW) * motion);
    }
}

/// A likelihood as coverage: certain where it is nearly so.
fn firm(likelihood: f32) -> u8 {
    let t = ((likelihood - 0.2) / 0.6).clamp(0.0, 1.0);
    (t * t * (3.0 - 2.0 * t) * 255.0 + 0.5) as u8
}

fn plane(picture: &Picture) -> Vec<u8> {
    let pixels = picture.rgb().chunks_exact(3);
    pixels
        .map(|p| ((u16::from(p[0]) + 2 * u16::from(p[1]) + u16::from(p[2]) + 2) / 4) as u8)
        .collect()
}

/// `under` shows through `over` where the mask is dark.
fn lay_over(over: &mut [u8], under: &[u8], mask: &[u8]) {
    let pixels = over.chunks_exact_mut(3).zip(under.chunks_exact(3));
    for ((over, under), &mask) in pixels.zip(mask) {
        let mask = i32::from(mask);
        for (o, &u) in over.iter_mut().zip(under) {
            let (from, to) = (i32::from(u), i32::from(*o));
            *o = ((from * 255 + (to - from) * mask + 127) / 255) as u8;
        }
    }
}

/// A [`Finish`] and where it holds: outside of the region the original stays.
#[derive(Debug, Default)]
pub struct Finisher {
    /// What is done inside.
    pub finish: Finish,
    /// Everywhere, if there is none.
    pub region: Option<Region>,
}

impl Finisher {
    /// Whether [`Finisher::apply`] looks at the original at all.
    pub fn needs_original(&self) -> bool {
        self.region.is_some() || self.finish.needs_original()
    }

    /// Finishes `painting`, which was made from `original`.
    ///
    /// # Errors
    /// When there is no mask.
    pub fn apply(
        &mut self,
        original: &Picture,
        painting: &mut Picture,
    ) -> Result<(), StylizeError> {
        self.finish.apply(original.rgb(), painting);
        if let Some(region) = &mut self.region {
            lay_over(painting.rgb_mut(), original.rgb(), &region.mask(original)?);
        }
        Ok(())
    }

    /// As [`Region::set_time`].
    pub fn set_time(&mut self, seconds: f64) {
        if let Some(region) = &mut self.region {
            region.set_time(seconds);
        }
    }

    /// The next picture does not continue the last one.
    pub fn reset(&mut self) {
        if let Some(region) = &mut self.region {
            region.reset();
        }
    }
}

/// Two styles at once: one inside of a region, one outside.
pub struct TwoStyles {
    inside: Box<dyn Stylizer>,
    outside: Box<dyn Stylizer>,
    region: Region,
}

impl TwoStyles {
    /// Paints the region with `inside`, the rest with `outside`. Changes of style change the former.
    pub fn new(inside: Box<dyn Stylizer>, outside: Box<dyn Stylizer>, region: Region) -> Self {
        Self {
            inside,
            outside,
            region,
        }
    }
}

impl Stylizer for TwoStyles {
    fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
        let mask = self.region.mask(picture)?;
        let mut outside = picture.clone();
        self.outside.paint(&mut outside)?;
        self.inside.paint(picture)?;
        lay_over(picture.rgb_mut(), outside.rgb(), &mask);
        Ok(())
    }

    fn reset(&mut self) {
        self.region.reset();
        self.inside.reset();
        self.outside.reset();
    }

    fn set_style(&mut self, style: &StyleMix) -> Result<(), StylizeError> {
        self.inside.set_style(style)
    }

    fn set_time(&mut self, seconds: f64) -> Result<(), StylizeError> {
        self.region.set_time(seconds);
        self.inside.set_time(seconds)
    }

    fn set_finish(&mut self, finish: Finish) {
        self.inside.set_finish(finish);
        self.outside.set_finish(finish);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paints everything in one colour.
    struct Flat(u8);

    impl Stylizer for Flat {
        fn paint(&mut self, picture: &mut Picture) -> Result<(), StylizeError> {
            picture.rgb_mut().fill(self.0);
            Ok(())
        }
    }

    /// White on the left.
    fn half() -> MaskSource {
        let row = [[255; 3 * 20], [0; 3 * 20]].concat();
        MaskSource::Still(Picture::new(40, 30, row.repeat(30)).unwrap())
    }

    fn grey(value: u8) -> Picture {
        Picture::new(80, 60, vec![value; 80 * 60 * 3]).unwrap()
    }

    #[test]
    fn the_original_stays_outside_and_the_edge_is_soft() {
        for (outside, left, right) in [(false, 200, 10), (true, 10, 200)] {
            let mut finisher = Finisher {
                finish: Finish::default(),
                region: Some(Region::new(half(), outside)),
            };
            let mut painting = grey(200);
            finisher.apply(&grey(10), &mut painting).unwrap();
            let at = |x: usize| painting.rgb()[(30 * 80 + x) * 3];
            assert_eq!((at(5), at(75)), (left, right));
            assert!((11..200).contains(&at(40)) || (11..200).contains(&at(39)));
        }
    }

    #[test]
    fn a_film_of_masks_fits_pictures_of_any_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.mkv");
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i"])
            .arg("color=white:s=100x120:r=5:d=1,pad=200:120:0:0:black")
            .args(["-c:v", "ffv1"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        let mut region = Region::new(MaskSource::open(&path, None).unwrap(), false);
        // The film's five pictures, and its last once more.
        for (width, height) in [
            (200, 120),
            (80, 60),
            (300, 100),
            (64, 64),
            (200, 120),
            (90, 70),
        ] {
            let mask = region.mask(&Picture::black(width, height)).unwrap();
            for row in mask.chunks_exact(width) {
                let (left, right) = (row[width / 4], row[3 * width / 4]);
                assert!(left > 250 && right < 5, "{width}x{height}: {left} {right}");
            }
        }
    }

    #[test]
    fn two_styles_meet_at_the_mask() {
        let region = Region::new(half(), false);
        let mut two = TwoStyles::new(Box::new(Flat(50)), Box::new(Flat(150)), region);
        let mut picture = grey(0);
        two.paint(&mut picture).unwrap();
        assert_eq!((picture.rgb()[0], picture.rgb()[79 * 3]), (50, 150));
    }

    #[test]
    fn doubt_is_followed_slowly_and_motion_at_once() {
        let mut held = vec![0.5, 0.1];
        follow(&mut held, vec![0.6, 0.9]);
        assert!((held[0] - 0.525).abs() < 1e-6, "{held:?}");
        assert!((held[1] - 0.9).abs() < 1e-6, "{held:?}");
    }
}
