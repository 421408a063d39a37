//! Trainings of a few steps, and the gradient of one.

use super::*;
use crate::kernels::{Entry, NetworkShape};
use crate::models::{LOSS_NETWORK, ModelStore};
use crate::nn::vgg::tests::small;
use crate::picture_file::PictureFile;
use crate::source::Sizing;
use crate::style::{StyleChoice, StylePack};
use crate::train::frozen::tests::{random_network, random_style, zeros};
use safetensors::SafeTensors;
use std::path::Path;

fn sample(name: &str, side: usize) -> Picture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("samples")
        .join(name);
    PictureFile::read(&path, Sizing::MaxSide(side))
        .unwrap()
        .picture
}

fn photos() -> Photos {
    Photos::new(["astronaut.jpg", "chelsea.png", "coffee.jpg"].map(|name| sample(name, 300)))
}

/// Of one piece, in every term: along the gradient the loss rises as the gradient says.
#[test]
fn the_gradient_is_that_of_the_loss() {
    let shape = NetworkShape {
        entry: Entry::Unshuffle {
            channels: 16,
            layers: 1,
        },
        blocks: 1,
        expand: [8, 3],
        last_kernel: None,
    };
    let mut random = Random::new(2, [0, 0]);
    let network = FrozenNetwork::new(&random_network(shape, &mut random)).unwrap();
    let style = random_style(shape.style_channels(), &mut random);
    let loss_network = small(&[(8, false), (8, false), (12, true)]).on_processor(Pooling::Average);
    let all = StyleSettings {
        crop: 64,
        steadiness: 30.0,
        losses: LossWeights {
            content: 1.0,
            style: 2.0,
            variation: 3.0,
            temporal: 0.0,
            content_layers: vec![(1, 1.0)],
            style_layers: vec![(0, 0.5), (2, 0.5)],
        },
        ..StyleSettings::default()
    };
    let only = |content: f32, style: f32, variation: f32, steadiness: f32| {
        let mut settings = all.clone();
        settings.losses.content = content;
        settings.losses.style = style;
        settings.losses.variation = variation;
        settings.steadiness = steadiness;
        settings
    };
    let picture = sample("paintings/van_gogh_night_cafe.jpg", 96);
    let photos = photos();
    let views = (0..).map(|turn| photos.views(&mut Random::new(4, [turn, 0]), all.crop, true));
    let views = views
        .into_iter()
        .find(|views| views.moved != (0, 0))
        .unwrap();
    for settings in [
        only(1.0, 0.0, 0.0, 0.0),
        only(0.0, 1.0, 0.0, 0.0),
        only(0.0, 0.0, 1.0, 0.0),
        only(0.0, 0.0, 0.0, 1.0),
        all.clone(),
    ] {
        let mut tape = Tape::default();
        let target = Model::new(&loss_network, &mut tape, &settings.losses, &picture);
        let mut unit = Unit::default();
        unit.learn(&network, &loss_network, &target, &style, &views, &settings);
        let gradient = unit.gradient.clone().unwrap();
        let numbers = |style: &StyleParameters| [&style.scale[..], &style.shift].concat();
        let direction = numbers(&gradient);
        let length = direction.iter().map(|g| g * g).sum::<f32>().sqrt();
        let step = 2e-2;
        let mut at = |sign: f32| {
            let values = numbers(&style).into_iter().zip(&direction);
            let moved: Vec<f32> = values.map(|(v, g)| v + sign * step * g / length).collect();
            unit.look(
                &network,
                &loss_network,
                &target,
                &split(&moved),
                &views,
                &settings,
            );
            f64::from(unit.report.total)
        };
        let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(step));
        assert!(
            (slope / f64::from(length) - 1.0).abs() < 0.05,
            "{:?}, {}: {slope} {length}",
            settings.losses,
            settings.steadiness
        );
    }
}

fn training(state: Option<State>) -> StyleTraining {
    let store = ModelStore::open(None).unwrap();
    let pack = StylePack::load(&store).unwrap();
    let bytes = store.read(LOSS_NETWORK).unwrap();
    let vgg = VggWeights::load(&SafeTensors::deserialize(&bytes).unwrap()).unwrap();
    let known = [1, 19, 24].map(|number| pack.parameters(&StyleChoice::single(number)));
    let models = ["night_cafe", "harvest_at_la_crau"]
        .map(|name| sample(&format!("paintings/van_gogh_{name}.jpg"), 200));
    let settings = StyleSettings {
        crop: 64,
        ..StyleSettings::default()
    };
    StyleTraining::new(
        pack.network(),
        &known,
        &vgg,
        &models,
        photos(),
        settings,
        state,
    )
    .unwrap()
}

#[test]
fn styles_come_nearer_to_their_models_and_an_interruption_changes_nothing() {
    let plan = Plan::Steps(24);
    let mut whole = training(None);
    assert_eq!(whole.starts().len(), 2);
    let before = whole.judge(&photos());
    let mut half = None;
    for step in 0..24 {
        if step == 12 {
            half = Some(whole.state().clone());
        }
        whole.step(plan);
    }
    let after = whole.judge(&photos());
    for (before, after) in before.iter().zip(&after) {
        assert!(after.total < 0.9 * before.total, "{before:?} {after:?}");
    }
    let mut second = training(half);
    for _ in 12..24 {
        second.step(plan);
    }
    assert_eq!(second.state(), whole.state());
    let [first, second] = &whole.styles()[..] else {
        panic!("two styles")
    };
    assert_ne!(first, second);
}

#[test]
fn a_start_is_a_blend_of_what_is_known() {
    let known = [zeros(3), zeros(3), zeros(3)].map(|mut style| {
        style.shift[1] = 2.0;
        style
    });
    let start = NearestStyle {
        styles: vec![(0, 0.5), (2, 0.25)],
        loss: 0.0,
    };
    assert_eq!(start.parameters(&known).shift, [0.0, 1.5, 0.0]);
}
