//! Where a new style starts: at the known style, or the blend of two, whose paintings of a few photos are nearest to the
//! model. From there a few hundred steps suffice, and the strokes that suit the network are there already.

use super::StyleTraining;
use crate::kernels::StyleParameters;

/// Pieces of photos that each known style paints, and their sides in pixels.
const TRIED: (usize, usize) = (2, 96);
/// Of so many of the nearest styles each pair is tried as a blend.
const BLENDED: usize = 3;

/// Known styles, by their numbers, with weights that sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct NearestStyle {
    /// The styles.
    pub styles: Vec<(usize, f32)>,
    /// The loss of its paintings.
    pub loss: f32,
}

impl NearestStyle {
    /// Its scales and shifts.
    #[must_use]
    pub fn parameters(&self, known: &[StyleParameters]) -> StyleParameters {
        let sum = |part: fn(&StyleParameters) -> &Vec<f32>| {
            let mut sum = vec![0.0; part(&known[0]).len()];
            for (number, weight) in &self.styles {
                for (sum, value) in sum.iter_mut().zip(part(&known[*number])) {
                    *sum += weight * value;
                }
            }
            sum
        };
        StyleParameters {
            scale: sum(|style| &style.scale),
            shift: sum(|style| &style.shift),
        }
    }
}

impl StyleTraining {
    /// The start of each model's style.
    pub(super) fn find_starts(&self, known: &[StyleParameters]) -> Vec<NearestStyle> {
        let starts = (0..self.models.len()).map(|model| {
            let single = |number| NearestStyle {
                styles: vec![(number, 1.0)],
                loss: 0.0,
            };
            let mut starts: Vec<NearestStyle> = (0..known.len()).map(single).collect();
            let judge = |starts: &mut [NearestStyle]| {
                let styles: Vec<_> = starts.iter().map(|start| start.parameters(known)).collect();
                let jobs: Vec<_> = styles.iter().map(|style| (model, style)).collect();
                let reports = self.judge_all(&self.photos, &jobs, TRIED.0, TRIED.1);
                for (start, report) in starts.iter_mut().zip(reports) {
                    start.loss = report.total;
                }
                starts.sort_by(|a, b| a.loss.total_cmp(&b.loss));
            };
            judge(&mut starts);
            starts.truncate(BLENDED);
            let pairs = (0..starts.len()).flat_map(|a| (0..a).map(move |b| (b, a)));
            let mut blends: Vec<NearestStyle> = pairs
                .map(|(a, b)| NearestStyle {
                    styles: [a, b].map(|at| (starts[at].styles[0].0, 0.5)).to_vec(),
                    loss: 0.0,
                })
                .collect();
            judge(&mut blends);
            starts.extend(blends);
            starts.sort_by(|a, b| a.loss.total_cmp(&b.loss));
            starts.swap_remove(0)
        });
        starts.collect()
    }
}
