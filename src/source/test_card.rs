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

/// What one column of the card has in all rows.
struct Column {
    bar: [u8; 3],
    /// Whether it is an odd column of the checkerboard.
    square: usize,
    /// Red and blue on even and on odd squares.
    red: [u8; 2],
    blue: [u8; 2],
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
        // All but the disc is a table of columns and a few numbers a row: drawing must not cost what painting needs.
        let byte = |c: f32| (c * 255.0) as u8;
        let shade = |c: f32, square: usize| byte(0.25 + 0.5 * c + 0.1 * square as f32);
        let columns: Vec<_> = (0..width)
            .map(|x| {
                let bar = 0.5 + 0.5 * (x as f32 * x as f32 / (w * 2.0)).sin();
                let x = x as f32;
                Column {
                    bar: [bar, bar * 0.8 + 0.1, 1.0 - bar].map(byte),
                    square: (((x + t * unit) / unit).floor() as i64).rem_euclid(2) as usize,
                    red: [0, 1].map(|square| shade(x / w, square)),
                    blue: [0, 1].map(|square| shade(1.0 - x / w, square)),
                }
            })
            .collect();
        let radius = 1.5 * unit;
        for (y, row) in picture.rgb_mut().chunks_exact_mut(width * 3).enumerate() {
            let (row, _) = row.as_chunks_mut::<3>();
            let y = y as f32;
            if y > h * 0.75 {
                for (pixel, column) in row.iter_mut().zip(&columns) {
                    *pixel = column.bar;
                }
            } else {
                let row_square = ((y / unit).floor() as i64).rem_euclid(2) as usize;
                let green = [0, 1].map(|square| shade(y / h, square));
                for (pixel, column) in row.iter_mut().zip(&columns) {
                    let square = column.square ^ row_square;
                    *pixel = [column.red[square], green[square], column.blue[square]];
                }
            }
            let dy = y - disc_y;
            let reach = (radius * radius - dy * dy).max(0.0).sqrt();
            let first = ((disc_x - reach).max(0.0) as usize).min(width);
            let last = ((disc_x + reach + 2.0).max(0.0) as usize).min(width);
            for (x, pixel) in (first..last).zip(&mut row[first..last]) {
                let dx = x as f32 - disc_x;
                if dx * dx + dy * dy < radius * radius {
                    *pixel = [0.9, 0.3 + 0.3 * dy / radius, 0.2].map(byte);
                }
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
