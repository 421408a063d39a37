//! What is painted: a point between styles, of one network or of both.
//!
//! A style of either network is a list of scales and shifts, so within a network styles blend by blending numbers. The two
//! networks have nothing in common but the picture, so between them the paintings are mixed. A [`StyleMix`] holds, for each
//! network, the weighted sum of its styles' numbers and the sum of the weights: two mixes are then mixed by plain
//! addition, whatever they are made of, and a fade from any style to any other is a straight line.

use std::sync::Arc;

use crate::{frame::Picture, kernels::StyleParameters, stylize::Palette};

/// Which of the two networks paints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkKind {
    /// The network of the pack: of 26 styles, or a student.
    Pack,
    /// The network that takes its style from any picture.
    AnyPicture,
}

impl NetworkKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Pack, Self::AnyPicture];
}

/// The weighted sum of some styles of one network.
#[derive(Clone, Debug, Default, PartialEq)]
struct Part {
    weight: f32,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Part {
    fn add(&mut self, other: &Self, weight: f32) {
        if weight * other.weight == 0.0 {
            return;
        }
        self.weight += weight * other.weight;
        self.scale.resize(other.scale.len(), 0.0);
        self.shift.resize(other.shift.len(), 0.0);
        let add = |sum: &mut [f32], values: &[f32]| {
            for (sum, value) in sum.iter_mut().zip(values) {
                *sum += weight * value;
            }
        };
        add(&mut self.scale, &other.scale);
        add(&mut self.shift, &other.shift);
    }
}

/// A blend of styles, and how strong it is.
#[derive(Clone, Debug, PartialEq)]
pub struct StyleMix {
    parts: [Part; 2],
    /// Of the pictures among the styles: the sum of their weights, and their weighted palette.
    palette: Option<(f32, Palette)>,
    /// The pictures themselves, with their weights, for who paints without a network.
    pictures: Vec<(Arc<Picture>, f32)>,
    strength: f32,
}

impl StyleMix {
    /// One style of a network, at full strength.
    pub fn new(kind: NetworkKind, style: StyleParameters) -> Self {
        let mut mix = Self {
            parts: [Part::default(), Part::default()],
            palette: None,
            pictures: Vec::new(),
            strength: 1.0,
        };
        mix.parts[kind as usize] = Part {
            weight: 1.0,
            scale: style.scale,
            shift: style.shift,
        };
        mix
    }

    /// Says which colours the style has, for [`Colors::Match`](crate::stylize::Colors).
    #[must_use]
    pub fn with_palette(mut self, palette: Palette) -> Self {
        self.palette = Some((1.0, palette));
        self
    }

    /// Says which picture the style was taken from.
    #[must_use]
    pub fn with_picture(mut self, picture: Arc<Picture>) -> Self {
        self.pictures = vec![(picture, 1.0)];
        self
    }

    /// Sets the strength, 0 (the picture itself) to 1 (the style).
    #[must_use]
    pub fn with_strength(mut self, strength: f32) -> Self {
        self.strength = strength;
        self
    }

    /// The blend of some mixes by weights that sum to 1; `None` of nothing.
    pub fn blend<'a>(parts: impl IntoIterator<Item = (&'a Self, f32)>) -> Option<Self> {
        let mut sum: Option<Self> = None;
        for (mix, weight) in parts {
            let sum = sum.get_or_insert_with(|| Self {
                parts: [Part::default(), Part::default()],
                palette: None,
                pictures: Vec::new(),
                strength: 0.0,
            });
            for (sum, part) in sum.parts.iter_mut().zip(&mix.parts) {
                sum.add(part, weight);
            }
            sum.strength += weight * mix.strength;
            for (picture, share) in mix.pictures.iter().filter(|_| weight > 0.0) {
                let mut known = sum.pictures.iter_mut();
                match known.find(|(known, _)| Arc::ptr_eq(known, picture)) {
                    Some((_, sum)) => *sum += weight * share,
                    None => sum.pictures.push((picture.clone(), weight * share)),
                }
            }
            if let Some((share, palette)) = &mix.palette {
                let added = weight * share;
                let (before, held) = sum.palette.unwrap_or((0.0, *palette));
                let total = before + added;
                let held = held.towards(palette, if total > 0.0 { added / total } else { 0.0 });
                sum.palette = Some((total, held));
            }
        }
        sum
    }

    /// Part of the way (0..1) to another mix.
    #[must_use]
    pub fn towards(&self, other: &Self, share: f32) -> Self {
        Self::blend([(self, 1.0 - share), (other, share)]).unwrap_or_else(|| other.clone())
    }

    /// How much of the picture a network paints, 0..1.
    pub fn share(&self, kind: NetworkKind) -> f32 {
        let total: f32 = self.parts.iter().map(|part| part.weight).sum();
        if total > 0.0 {
            self.parts[kind as usize].weight / total
        } else {
            0.0
        }
    }

    /// The style a network paints in, if it paints at all.
    pub fn parameters(&self, kind: NetworkKind) -> Option<StyleParameters> {
        let part = &self.parts[kind as usize];
        let mean = |sums: &[f32]| sums.iter().map(|sum| sum / part.weight).collect();
        (part.weight > 0.0).then(|| StyleParameters {
            scale: mean(&part.scale),
            shift: mean(&part.shift),
        })
    }

    /// The palette of the pictures among the styles, and how much of the mix they are (0..1).
    pub fn palette(&self) -> Option<(f32, Palette)> {
        self.palette
    }

    /// The pictures among the styles with their weights, as far as they were kept.
    pub fn pictures(&self) -> &[(Arc<Picture>, f32)] {
        &self.pictures
    }

    /// 0..1.
    pub fn strength(&self) -> f32 {
        self.strength
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(kind: NetworkKind, value: f32) -> StyleMix {
        StyleMix::new(
            kind,
            StyleParameters {
                scale: vec![value; 3],
                shift: vec![-value; 3],
            },
        )
    }

    #[test]
    fn within_a_network_numbers_mix_and_between_networks_shares() {
        use NetworkKind::{AnyPicture, Pack};
        let (a, b, c) = (mix(Pack, 1.0), mix(Pack, 3.0), mix(AnyPicture, 9.0));
        let blend = StyleMix::blend([(&a, 0.25), (&b, 0.25), (&c, 0.5)]).unwrap();
        assert_eq!(blend.share(Pack), 0.5);
        assert_eq!(blend.share(AnyPicture), 0.5);
        assert_eq!(blend.parameters(Pack).unwrap().scale, [2.0; 3]);
        assert_eq!(blend.parameters(AnyPicture).unwrap().shift, [-9.0; 3]);
        // On the way from one network to the other each keeps its own numbers.
        let way = a.towards(&c, 0.25);
        assert_eq!(way.share(Pack), 0.75);
        assert_eq!(way.parameters(Pack).unwrap().scale, [1.0; 3]);
        assert_eq!(way.parameters(AnyPicture).unwrap().scale, [9.0; 3]);
        assert_eq!(a.towards(&c, 1.0).parameters(Pack), None);
    }

    #[test]
    fn strength_fades_too() {
        let a = mix(NetworkKind::Pack, 1.0).with_strength(0.2);
        let b = mix(NetworkKind::Pack, 1.0);
        assert!((a.towards(&b, 0.5).strength() - 0.6).abs() < 1e-6);
    }
}
