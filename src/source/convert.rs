//! Decoded frames in, upright RGB pictures of one size out.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use ffmpeg_next::{self as ff, Error, frame};

use super::{
    SourceError,
    look::{Look, Orientation},
    notes::Seen,
};
use crate::{
    frame::{Frame, Packet, Picture, ResetReason},
    media::{edge, graph::Graph},
};

/// Sends frames through a filter graph, which is built anew when the look of the frames changes.
pub(super) struct Converter {
    path: PathBuf,
    /// Width and height of all pictures.
    size: (usize, usize),
    orientation: Orientation,
    threads: usize,
    graph: Option<(Look, Graph)>,
    /// Width to height of the first frame's pictures, as far as the frame tells.
    shape: Option<f64>,
    /// Frames inside the graph: number, time stamp, duration.
    inside: VecDeque<(i64, i64, i64)>,
    pushed: i64,
    delivered: u64,
}

impl Converter {
    /// `path` is for errors, `size` is that of the upright pictures.
    pub(super) fn new(
        path: &Path,
        size: (usize, usize),
        orientation: Orientation,
        threads: usize,
    ) -> Self {
        Self {
            path: path.to_owned(),
            size,
            orientation,
            threads,
            graph: None,
            shape: None,
            inside: VecDeque::new(),
            pushed: 0,
            delivered: 0,
        }
    }

    /// Takes a frame, and puts what comes out into `ready`.
    ///
    /// # Errors
    /// When the frame cannot be converted.
    pub(super) fn push(
        &mut self,
        decoded: &mut frame::Video,
        pts: i64,
        duration: i64,
        seen: &mut Seen,
        ready: &mut VecDeque<Packet>,
    ) -> Result<(), SourceError> {
        let Some(format) = edge::pixel_format(decoded).filter(|format| !format.hardware) else {
            seen.broken_packets += 1;
            return Ok(());
        };
        let before = self.graph.as_ref().map(|(look, _)| *look);
        let look = Look {
            width: decoded.width(),
            height: decoded.height(),
            format,
            colour: edge::colour_tags(decoded),
            aspect: edge::frame_aspect(decoded)
                .or(before.map(|look| look.aspect))
                .unwrap_or((1, 1)),
            // Once interlaced frames were met, the deinterlacer stays: it passes whole frames through.
            interlaced: decoded.is_interlaced() || before.is_some_and(|look| look.interlaced),
        };
        if before != Some(look) {
            self.end(ready)?;
            let shape = |look: &Look| (look.width, look.height, look.aspect);
            if before.is_some_and(|before| shape(&before) != shape(&look)) {
                seen.size_changes += 1;
                ready.push_back(Packet::Reset(ResetReason::Discontinuity));
            }
            let graph = self.build(&look, seen)?;
            self.graph = Some((look, graph));
        }
        // Many a file has an alpha channel without a single transparent pixel.
        seen.alpha = seen.alpha || edge::is_see_through(decoded);
        let number = self.pushed;
        self.pushed += 1;
        self.inside.push_back((number, pts, duration));
        if let Some((_, graph)) = &mut self.graph {
            graph
                .push(number, decoded)
                .map_err(|source| failed(&self.path, "converting a frame to RGB", source))?;
        }
        self.collect(ready)
    }

    /// Says that nothing follows: what the graph still holds comes out.
    ///
    /// # Errors
    /// As [`Converter::push`].
    pub(super) fn end(&mut self, ready: &mut VecDeque<Packet>) -> Result<(), SourceError> {
        if let Some((_, graph)) = &mut self.graph {
            graph
                .end()
                .map_err(|source| failed(&self.path, "converting a frame to RGB", source))?;
            self.collect(ready)?;
        }
        self.graph = None;
        self.inside.clear();
        Ok(())
    }

    /// The size that frames of this look have within the size of all pictures: all of it, unless their shape is another one
    /// than the first frame's.
    fn fitted(&mut self, look: &Look) -> (u32, u32) {
        let (width, height) = (self.size.0 as u32, self.size.1 as u32);
        let shape = look.shape();
        let relative = shape / *self.shape.get_or_insert(shape);
        let relative = match self.orientation.transpose {
            true => 1.0 / relative,
            false => relative,
        };
        if (0.98..1.02).contains(&relative) {
            return (width, height);
        }
        let part = |side: u32, share: f64| {
            // Bars are equal on both sides.
            let bars = (f64::from(side) * (1.0 - share) / 2.0).round() as u32;
            side.saturating_sub(2 * bars).max(2)
        };
        match relative > 1.0 {
            true => (width, part(height, 1.0 / relative)),
            false => (part(width, relative), height),
        }
    }

    fn build(&mut self, look: &Look, seen: &mut Seen) -> Result<Graph, SourceError> {
        seen.interlaced |= look.interlaced;
        seen.wide_gamut = seen.wide_gamut.or(look.wide_gamut());
        if look.is_hdr() {
            let transfer = look.transfer_name();
            seen.hdr = Some(transfer);
            if ["zscale", "tonemap"]
                .iter()
                .any(|name| ff::filter::find(name).is_none())
            {
                return Err(SourceError::HdrUnsupported {
                    path: self.path.clone(),
                    transfer,
                });
            }
        }
        let (width, height) = self.size;
        let fitted = self.fitted(look);
        let mut filters = look.filters(self.orientation, fitted);
        if fitted != (width as u32, height as u32) {
            seen.bars = true;
            filters += &format!(",pad=w={width}:h={height}:x=(ow-iw)/2:y=(oh-ih)/2");
        }
        Graph::new(
            look.width,
            look.height,
            look.format.number,
            &filters,
            self.threads,
        )
        .map_err(|source| failed(&self.path, "preparing the conversion to RGB", source))
    }

    /// Takes all finished pictures from the graph.
    fn collect(&mut self, ready: &mut VecDeque<Packet>) -> Result<(), SourceError> {
        while let Some((_, graph)) = &mut self.graph {
            let pulled = graph
                .pull()
                .map_err(|source| failed(&self.path, "converting a frame to RGB", source))?;
            let Some((number, frame)) = pulled else {
                break;
            };
            while self.inside.front().is_some_and(|(n, ..)| *n < number) {
                self.inside.pop_front();
            }
            let Some((_, pts, duration)) = self.inside.pop_front() else {
                break;
            };
            let rgb = edge::packed_rgb(&frame)
                .map_err(|source| failed(&self.path, "copying a frame", source))?;
            let picture = Picture::new(self.size.0, self.size.1, rgb)
                .map_err(|error| SourceError::Failed(error.to_string()))?;
            ready.push_back(Packet::Frame(Frame {
                picture,
                pts,
                duration,
                source_index: self.delivered,
                seq: self.delivered,
            }));
            self.delivered += 1;
        }
        Ok(())
    }
}

fn failed(path: &Path, action: &'static str, source: Error) -> SourceError {
    SourceError::Media {
        path: path.to_owned(),
        action,
        source,
    }
}
