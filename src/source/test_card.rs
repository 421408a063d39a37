//! A moving test card: a picture with flat areas, fine and coarse texture and motion, made from its frame number
//! alone, for benchmarks and for machines without a camera.

use super::{FrameSource, Ratio, SourceError, StreamInfo};
use crate::frame::{Frame, Packet, Picture};

/// Yields a fixed number of frames of the card, 30 a second.
#[derive(Debug)]
pub struct TestCard {
    info: StreamInfo,
    frames: u64,
    next: u64,
}

impl TestCard {
    /// A card of `width` by `height` pixels that moves for `frames` frames.
    pub fn new(width: usize, height: usize, frames: u64) -> Self {
        let info = StreamInfo {
            width,
            height,
            time_base: Ratio { num: 1, den: 30 },
            frame_rate: Some(Ratio { num: 30, den: 1 }),
            expected_frames: Some(frames),
        };
        Self {
            info,
            frames,
            next: 0,
        }
    }

    /// The picture of frame `index`: a panning checkerboard over a gradient, bars of rising frequency, and a disc that
    /// circles once in four seconds.
    pub fn picture(&self, index: u64) -> Picture {
        let (width, height) = (self.info.width, self.info.height);
        let mut picture = Picture::black(width, height);
        let t = index as f32 / 30.0;
        let (w, h) = (width as f32, height as f32);
        let unit = h / 9.0;
        let angle = t * std::f32::consts::TAU / 4.0;
        let (disc_x, disc_y) = (
            w / 2.0 + w / 4.0 * angle.cos(),
            h / 2.0 + h / 4.0 * angle.sin(),
        );
        let columns: Vec<f32> = (0..width)
            .map(|x| 0.5 + 0.5 * (x as f32 * x as f32 / (w * 2.0)).sin())
            .collect();
        for (y, row) in picture.rgb_mut().chunks_exact_mut(width * 3).enumerate() {
            let y = y as f32;
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let bar = columns[x];
                let x = x as f32;
                let pan = x + t * unit;
                let square = ((pan / unit).floor() + (y / unit).floor()).rem_euclid(2.0);
                let mut rgb = [x / w, y / h, 1.0 - x / w].map(|c| 0.25 + 0.5 * c + 0.1 * square);
                if y > h * 0.75 {
                    rgb = [bar, bar * 0.8 + 0.1, 1.0 - bar];
                }
                let (dx, dy) = (x - disc_x, y - disc_y);
                if dx * dx + dy * dy < (1.5 * unit) * (1.5 * unit) {
                    rgb = [0.9, 0.3 + 0.3 * dy / (1.5 * unit), 0.2];
                }
                pixel.copy_from_slice(&rgb.map(|c| (c * 255.0) as u8));
            }
        }
        picture
    }
}

impl FrameSource for TestCard {
    fn info(&self) -> &StreamInfo {
        &self.info
    }

    fn next(&mut self) -> Result<Packet, SourceError> {
        if self.next == self.frames {
            return Ok(Packet::End);
        }
        let index = self.next;
        self.next += 1;
        let picture = self.picture(index);
        Ok(Packet::Frame(Frame {
            picture,
            pts: index as i64,
            duration: 1,
            source_index: index,
            seq: index,
        }))
    }

    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_moves_and_ends() {
        let mut card = TestCard::new(64, 48, 3);
        assert_ne!(card.picture(0), card.picture(15));
        for index in 0..3 {
            let Packet::Frame(frame) = card.next().unwrap() else {
                panic!("a frame was due")
            };
            assert_eq!((frame.pts, frame.seq), (index, index as u64));
        }
        assert!(matches!(card.next().unwrap(), Packet::End));
    }
}
