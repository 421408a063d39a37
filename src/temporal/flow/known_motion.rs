//! Pairs of pictures whose motion is known exactly: photos as texture, moved by formulas.

use super::{Flow, Luma};
use std::path::Path;

/// A grey picture that can be read between its pixels.
pub(crate) struct Texture {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Texture {
    /// A picture of the `samples` folder, made `scale` times larger.
    pub(crate) fn sample(name: &str, scale: f32) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("samples")
            .join(name);
        let grey = image::open(path).unwrap().to_luma8();
        let small = Self {
            width: grey.width() as usize,
            height: grey.height() as usize,
            values: grey.iter().map(|&value| f32::from(value)).collect(),
        };
        let (width, height) = (
            (small.width as f32 * scale) as usize,
            (small.height as f32 * scale) as usize,
        );
        let values = (0..width * height)
            .map(|i| {
                small.at(
                    (i % width) as f64 / f64::from(scale),
                    (i / width) as f64 / f64::from(scale),
                )
            })
            .collect();
        Self {
            width,
            height,
            values,
        }
    }

    /// The value at a position by Catmull–Rom interpolation; mirrored at the edges.
    pub(crate) fn at(&self, x: f64, y: f64) -> f32 {
        let mirror = |i: i64, side: usize| {
            let period = 2 * (side as i64 - 1);
            let i = i.rem_euclid(period);
            i.min(period - i) as usize
        };
        let weights = |t: f64| {
            [
                ((-0.5 * t + 1.0) * t - 0.5) * t,
                (1.5 * t - 2.5) * t * t + 1.0,
                ((-1.5 * t + 2.0) * t + 0.5) * t,
                (0.5 * t - 0.5) * t * t,
            ]
        };
        let (left, top) = (x.floor(), y.floor());
        let (wx, wy) = (weights(x - left), weights(y - top));
        let mut sum = 0.0;
        for (j, wy) in wy.iter().enumerate() {
            let row = mirror(top as i64 + j as i64 - 1, self.height) * self.width;
            for (i, wx) in wx.iter().enumerate() {
                let column = mirror(left as i64 + i as i64 - 1, self.width);
                sum += wx * wy * f64::from(self.values[row + column]);
            }
        }
        sum as f32
    }
}

/// Two pictures and the motion from the first to the second.
pub(crate) struct Pair {
    pub(crate) first: Luma,
    pub(crate) second: Luma,
    pub(crate) flow: Flow,
    /// Where a pixel of the first is seen in the second.
    pub(crate) visible: Vec<bool>,
}

fn luma(width: usize, height: usize, value: impl Fn(f64, f64) -> f32) -> Luma {
    let pixels = (0..width * height)
        .map(|i| {
            let (x, y) = ((i % width) as f64, (i / width) as f64);
            value(x, y).round().clamp(0.0, 255.0) as u8
        })
        .collect();
    Luma::new(width, height, pixels).unwrap()
}

/// A turn by `degrees` and a zoom about the picture's centre, then a shift.
#[derive(Clone, Copy)]
pub(crate) struct Move {
    pub(crate) degrees: f64,
    pub(crate) zoom: f64,
    pub(crate) shift: (f64, f64),
}

impl Move {
    pub(crate) fn shift(x: f64, y: f64) -> Self {
        Self {
            degrees: 0.0,
            zoom: 1.0,
            shift: (x, y),
        }
    }

    fn forth(self, (x, y): (f64, f64)) -> (f64, f64) {
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        (
            self.zoom * (cos * x - sin * y) + self.shift.0,
            self.zoom * (sin * x + cos * y) + self.shift.1,
        )
    }

    fn back(self, (x, y): (f64, f64)) -> (f64, f64) {
        let (x, y) = (x - self.shift.0, y - self.shift.1);
        let (sin, cos) = self.degrees.to_radians().sin_cos();
        (
            (cos * x + sin * y) / self.zoom,
            (cos * y - sin * x) / self.zoom,
        )
    }
}

/// A disc that moves over the background.
#[derive(Clone, Copy)]
pub(crate) struct Disc {
    /// Relative to the picture's centre, pixels.
    pub(crate) centre: (f64, f64),
    pub(crate) radius: f64,
    pub(crate) shift: (f64, f64),
}

impl Disc {
    fn covers(self, (x, y): (f64, f64)) -> bool {
        (x - self.centre.0).hypot(y - self.centre.1) <= self.radius
    }
}

/// A background that moves by `motion`, under discs with a texture of their own.
pub(crate) fn pair(
    (width, height): (usize, usize),
    background: &Texture,
    motion: Move,
    discs: &[(Disc, &Texture)],
) -> Pair {
    let centre = ((width - 1) as f64 / 2.0, (height - 1) as f64 / 2.0);
    let look = |texture: &Texture, (x, y): (f64, f64)| {
        texture.at(
            x + texture.width as f64 / 2.0,
            y + texture.height as f64 / 2.0,
        )
    };
    let before = |(x, y): (f64, f64), shift: (f64, f64)| (x - shift.0, y - shift.1);
    let first = luma(width, height, |x, y| {
        let p = (x - centre.0, y - centre.1);
        match discs.iter().rev().find(|(disc, _)| disc.covers(p)) {
            Some((_, texture)) => look(texture, p),
            None => look(background, p),
        }
    });
    let second = luma(width, height, |x, y| {
        let p = (x - centre.0, y - centre.1);
        match discs
            .iter()
            .rev()
            .find(|(disc, _)| disc.covers(before(p, disc.shift)))
        {
            Some((disc, texture)) => look(texture, before(p, disc.shift)),
            None => look(background, motion.back(p)),
        }
    });
    let mut flow = Flow::default();
    flow.stand_still((width, height));
    let mut visible = vec![true; width * height];
    for y in 0..height {
        for x in 0..width {
            let p = (x as f64 - centre.0, y as f64 - centre.1);
            let on = discs.iter().rposition(|(disc, _)| disc.covers(p));
            let to = match on {
                Some(index) => {
                    let shift = discs[index].0.shift;
                    (p.0 + shift.0, p.1 + shift.1)
                }
                None => motion.forth(p),
            };
            let i = y * width + x;
            flow.u[i] = (to.0 - p.0) as f32;
            flow.v[i] = (to.1 - p.1) as f32;
            let above = on.map_or(0, |index| index + 1);
            visible[i] = to.0.abs() <= centre.0
                && to.1.abs() <= centre.1
                && !discs[above..]
                    .iter()
                    .any(|(disc, _)| disc.covers(before(to, disc.shift)));
        }
    }
    Pair {
        first,
        second,
        flow,
        visible,
    }
}

/// Mean length of the difference of two fields where `judged`, in pixels.
pub(crate) fn endpoint_error(found: &Flow, truth: &Flow, judged: &[bool]) -> f32 {
    let mut sum = 0.0;
    let mut count = 0;
    for (i, _) in judged.iter().enumerate().filter(|(_, judged)| **judged) {
        sum += (found.u[i] - truth.u[i]).hypot(found.v[i] - truth.v[i]);
        count += 1;
    }
    sum / count as f32
}
