//! What flow of some settings does: levels, patches, and how much is refined.

use super::{
    FlowPreset, FlowSettings,
    refine::{Effort, Weights},
    search::PATCH,
};

#[cfg(any(test, feature = "cuda"))]
use super::search::Grid;

/// What settings mean, whoever finds the flow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowPlan {
    /// Halvings of the finest level below the picture, if it is large enough.
    halvings: usize,
    /// Pixels between patches.
    pub(crate) spacing: usize,
    /// Gauss–Newton steps at most, in each of two sweeps.
    pub(crate) steps: usize,
    /// The refinement at the finest level.
    effort: Effort,
}

impl FlowPlan {
    pub(crate) fn new(settings: FlowSettings) -> Self {
        let (halvings, spacing, warps, outer) = match settings.preset {
            FlowPreset::UltraFast => (2, 4, 1, 1),
            FlowPreset::Fast => (2, 4, 2, 3),
            FlowPreset::Medium => (1, 3, 2, 3),
        };
        Self {
            halvings: halvings + settings.scale.halvings(),
            spacing,
            steps: 4,
            effort: Effort {
                warps,
                outer,
                sweeps: 5,
                weights: Weights {
                    brightness: 8.0,
                    gradient: 10.0,
                    smoothness: 20.0,
                },
            },
        }
    }

    /// Halvings of the finest level for pictures of this size, and levels from there to the coarsest;
    /// no levels for a picture smaller than a patch.
    pub(crate) fn levels(&self, (width, height): (usize, usize)) -> (usize, usize) {
        if width.min(height) < PATCH {
            return (0, 0);
        }
        let (long, short) = (width.max(height) as f32, width.min(height) as f32);
        // Kroeger et al.: at the coarsest level motion of a quarter of the long side is within a patch's reach; no
        // level is smaller than a patch.
        let reach = (long / (4 * PATCH) as f32).log2() + 0.5;
        let smallest = (short / PATCH as f32).log2();
        let coarsest = reach.min(smallest).max(0.0) as usize;
        let halvings = self.halvings.min(coarsest);
        (halvings, coarsest - halvings + 1)
    }

    /// The refinement at a level.
    pub(crate) fn effort(&self, level: usize) -> Effort {
        Effort {
            // What the finest level finds by looking again, the coarser ones leave to the next finer.
            warps: if level > 0 { 1 } else { self.effort.warps },
            ..self.effort
        }
    }
}

/// Columns and rows of the grid of patches of a level of at least 8×8 pixels.
#[cfg(any(test, feature = "cuda"))]
pub(crate) fn grid((width, height): (usize, usize), spacing: usize) -> (usize, usize) {
    let Grid { columns, rows, .. } = Grid::new(width, height, spacing);
    (columns, rows)
}
