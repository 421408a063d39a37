//! Colours for what was not there before.
//!
//! What the camera uncovers has no painting to start from, and a few steps do not give a grey car the colours that thirty
//! steps gave the car beside it: for some pictures it would stand out unpainted. But how the painting has changed which
//! colours is known from everything that stays in sight. This module keeps the mean change of each colour in a coarse
//! grid over the colour cube (as in a bilateral grid, Chen, Paris, Durand 2007, without its spatial axes), blurred so that
//! colours that were seen speak for those beside them, and applies it to the rest.

/// Cells along each axis of the colour cube.
const CELLS: usize = 9;
/// Weight, in pixels, at which a cell is half believed.
const DOUBT: f32 = 2.0;

/// Sum of the changes of R, G and B, and of the weights.
type Cell = [f32; 4];

/// The mean change of colours.
pub(super) struct Recolour {
    cells: Vec<Cell>,
}

/// The eight cells around a colour with their weights.
fn around(colour: [f32; 3]) -> impl Iterator<Item = (usize, f32)> {
    let scaled = colour.map(|v| v.clamp(0.0, 255.0) / 255.0 * (CELLS - 1) as f32);
    let base = scaled.map(|v| (v as usize).min(CELLS - 2));
    (0..8).map(move |corner| {
        let (mut index, mut weight) = (0, 1.0);
        for axis in 0..3 {
            let up = corner >> axis & 1;
            let t = scaled[axis] - base[axis] as f32;
            index = index * CELLS + base[axis] + up;
            weight *= if up == 1 { t } else { 1.0 - t };
        }
        (index, weight)
    })
}

impl Recolour {
    /// Learns from planes (R, G, B) of a picture, of its painting, and how far each pixel of that can be trusted.
    pub(super) fn learn(content: &[f32], painting: &[f32], trust: &[f32]) -> Self {
        let plane = trust.len();
        let mut cells = vec![Cell::default(); CELLS * CELLS * CELLS];
        for (i, &trust) in trust.iter().enumerate().filter(|(_, trust)| **trust > 0.0) {
            let at = |planes: &[f32]| [planes[i], planes[plane + i], planes[2 * plane + i]];
            let (from, to) = (at(content), at(painting));
            for (cell, weight) in around(from) {
                let weight = weight * trust;
                for axis in 0..3 {
                    cells[cell][axis] += weight * (to[axis] - from[axis]);
                }
                cells[cell][3] += weight;
            }
        }
        for axis in 0..3 {
            cells = blurred(&cells, CELLS.pow(2 - axis));
        }
        Self { cells }
    }

    /// Changes the colours of `planes` as was learnt, as far as `wanted` (0..1) says for each pixel.
    pub(super) fn apply(&self, planes: &mut [f32], wanted: impl Fn(usize) -> f32) {
        let plane = planes.len() / 3;
        for i in 0..plane {
            let wanted = wanted(i);
            if wanted <= 0.0 {
                continue;
            }
            let mut sum = Cell::default();
            for (cell, weight) in around([planes[i], planes[plane + i], planes[2 * plane + i]]) {
                for (sum, value) in sum.iter_mut().zip(self.cells[cell]) {
                    *sum += weight * value;
                }
            }
            for axis in 0..3 {
                planes[axis * plane + i] += wanted * sum[axis] / (sum[3] + DOUBT);
            }
        }
    }
}

/// 1 2 1 along one axis of the cube, whose neighbours lie `step` apart.
fn blurred(cells: &[Cell], step: usize) -> Vec<Cell> {
    let one = |i: usize| {
        let place = i / step % CELLS;
        let below = cells[if place > 0 { i - step } else { i }];
        let above = cells[if place + 1 < CELLS { i + step } else { i }];
        std::array::from_fn(|k| 0.25 * (below[k] + 2.0 * cells[i][k] + above[k]))
    };
    (0..cells.len()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_as_they_did_elsewhere() {
        // Grey became violet on the left half, green stayed; the right half was not seen.
        let (width, plane) = (160, 160 * 80);
        let grey = |i: usize| i / width < 40;
        let content: Vec<f32> = (0..3 * plane)
            .map(|i| match (grey(i % plane), i / plane) {
                (true, _) => 120.0,
                (false, 1) => 200.0,
                (false, _) => 20.0,
            })
            .collect();
        let painting: Vec<f32> = (0..3 * plane)
            .map(|i| {
                content[i]
                    + if grey(i % plane) && i / plane != 1 {
                        60.0
                    } else {
                        0.0
                    }
            })
            .collect();
        let trust: Vec<f32> = (0..plane)
            .map(|i| f32::from(u8::from(i % width < 80)))
            .collect();
        let recolour = Recolour::learn(&content, &painting, &trust);
        let mut result = content.clone();
        recolour.apply(&mut result, |i| 1.0 - trust[i]);
        for i in 0..3 * plane {
            let expected = match trust[i % plane] {
                0.0 => painting[i],
                _ => content[i],
            };
            assert!(
                (result[i] - expected).abs() < 3.0,
                "{i}: {} {expected}",
                result[i]
            );
        }
    }
}
