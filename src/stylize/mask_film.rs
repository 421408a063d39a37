//! A film of masks, read along with the film that is painted.
//!
//! Masks belong to times: a film of masks with a frame rate of its own, or beside a film without a constant one, has the
//! mask ready that is nearest in time. Where nobody says the time there is one mask for each picture.

use std::path::{Path, PathBuf};

use crate::{
    frame::{Packet, Picture},
    source::{FrameSource, Sizing, SourceError, VideoFileSource, VideoSourceSettings},
};

/// A mask lasts so many seconds at least, where the file does not say how long its last one is shown.
const SHORTEST: f64 = 0.04;

/// A film of masks.
pub struct MaskFilm {
    path: PathBuf,
    /// From which second on.
    start: Option<f64>,
    /// Opened when the first mask is asked for.
    open: Option<Box<VideoFileSource>>,
    first: Option<i64>,
    /// The mask that was asked for last, and the one behind it.
    now: Option<Mask>,
    next: Option<Mask>,
    over: bool,
}

/// One mask, and when it is shown, in seconds from the first one on.
struct Mask {
    picture: Picture,
    begin: f64,
    length: f64,
}

impl MaskFilm {
    /// The film at `path`, from second `start` on.
    ///
    /// # Errors
    /// When it is no film.
    pub fn new(path: &Path, start: Option<f64>) -> Result<Self, SourceError> {
        open(path, start)?;
        Ok(Self {
            path: path.to_owned(),
            start,
            open: None,
            first: None,
            now: None,
            next: None,
            over: false,
        })
    }

    /// The mask at a time, in seconds from the first one on, or the next one; at the end the last one stays. Times rise.
    ///
    /// # Errors
    /// When the film cannot be read.
    pub fn at(&mut self, seconds: Option<f64>) -> Result<Option<&Picture>, SourceError> {
        let Some(seconds) = seconds else {
            match self.read()? {
                Some(next) => self.now = Some(next),
                None => self.over = true,
            }
            return Ok(self.now.as_ref().map(|mask| &mask.picture));
        };
        loop {
            if self.next.is_none() {
                self.next = self.read()?;
            }
            let Some(next) = &self.next else {
                let late = |now: &Mask| seconds > now.begin + 2.0 * now.length.max(SHORTEST);
                self.over |= self.now.as_ref().is_none_or(late);
                break;
            };
            let far = self.now.as_ref().map(|now| (seconds - now.begin).abs());
            if far.is_some_and(|far| (next.begin - seconds).abs() > far) {
                break;
            }
            self.now = self.next.take();
        }
        Ok(self.now.as_ref().map(|mask| &mask.picture))
    }

    /// Whether a picture was to be painted for which there was no mask any more.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn read(&mut self) -> Result<Option<Mask>, SourceError> {
        let film = match &mut self.open {
            Some(film) => film,
            None => self.open.insert(Box::new(open(&self.path, self.start)?)),
        };
        loop {
            match film.next()? {
                Packet::Frame(frame) => {
                    let since = frame.pts - *self.first.get_or_insert(frame.pts);
                    let unit = film.info().time_base.value();
                    return Ok(Some(Mask {
                        picture: frame.picture,
                        begin: since as f64 * unit,
                        length: frame.duration as f64 * unit,
                    }));
                }
                Packet::End => return Ok(None),
                Packet::Track(_) | Packet::Reset(_) => {}
            }
        }
    }
}

fn open(path: &Path, start: Option<f64>) -> Result<VideoFileSource, SourceError> {
    let settings = VideoSourceSettings {
        size: Sizing::Native,
        start,
        duration: None,
        keep_tracks: false,
        threads: 1,
        picture_rate: None,
    };
    VideoFileSource::open(path, settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five masks a second, each as bright as its number.
    fn film(folder: &Path) -> PathBuf {
        let path = folder.join("mask.mkv");
        let made = std::process::Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i"])
            .arg("color=black:s=64x48:r=5:d=1,format=gray,geq=lum=40*N")
            .args(["-c:v", "ffv1"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
        path
    }

    #[test]
    fn the_mask_is_the_one_nearest_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut film = MaskFilm::new(&film(folder.path()), None).unwrap();
        let mut number = |seconds| {
            let mask = film.at(Some(seconds)).unwrap().unwrap();
            (f64::from(mask.rgb()[0]) / 40.0).round() as i32
        };
        let times = [0.0, 0.05, 0.09, 0.12, 0.2, 0.29, 0.65, 0.65, 0.8, 1.0, 1.15];
        let numbers = times.map(&mut number);
        assert_eq!(numbers, [0, 0, 0, 1, 1, 1, 3, 3, 4, 4, 4]);
        assert!(!film.is_over());
        film.at(Some(1.3)).unwrap();
        assert!(film.is_over());
    }

    #[test]
    fn without_times_each_picture_has_a_mask() {
        let folder = tempfile::tempdir().unwrap();
        let mut film = MaskFilm::new(&film(folder.path()), None).unwrap();
        for number in [0, 40, 80, 120, 160] {
            let value = film.at(None).unwrap().unwrap().rgb()[0];
            assert!(value.abs_diff(number) < 3, "{value} for {number}");
            assert!(!film.is_over());
        }
        assert!(film.at(None).unwrap().unwrap().rgb()[0] > 150);
        assert!(film.is_over());
    }
}
