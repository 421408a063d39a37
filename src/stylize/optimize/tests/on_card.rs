//! The card's losses, gradient and steps against the processor's.

use super::{halves, picture};
use crate::{
    cuda::emulated::EmulatedCard,
    kernels::Pooling,
    nn::vgg::tests::small,
    stylize::optimize::{on_card::OnCard, tiles::Tiles, *},
};

/// Losses and gradient of one canvas in two parts.
fn evaluated(network: &mut dyn Features, losses: &LossWeights, size: Size) -> (Losses, Vec<f32>) {
    let layers = losses.style_layers.iter().map(|layer| layer.0);
    let layers: Vec<usize> = layers.collect();
    let whole = |size: Size| Tiles::new(size.pair(), 0, usize::MAX);
    let mut targets = [3.0, 5.0].map(|scale| {
        let mut look = Look {
            network: &mut *network,
            input: &mut Vec::new(),
        };
        Styles::new(vec![(Arc::new(picture(0, scale)), 1.0)])
            .target(
                &mut look,
                &layers,
                ((size.width * size.height) as f64, 1.0),
                whole,
            )
            .unwrap()
    });
    // As though the painting were far from it: what is nearly zero is nothing but rounding.
    for (gram, _) in targets.iter_mut().flat_map(|target| &mut target.grams) {
        gram.iter_mut().for_each(|value| *value *= 1.5);
    }
    let content = Canvas::new(&picture(0, 1.0), size);
    let x = Canvas::new(&picture(9, 2.0), size).planes;
    let guides = halves(size);
    let parts = targets.iter().zip(&guides).map(|(style, guide)| Part {
        style,
        guide: Some(guide),
    });
    let parts = parts.collect();
    let tiles = Tiles::new(size.pair(), 0, usize::MAX);
    let mut objective = Objective::new(network, losses, parts, &content, &[], tiles).unwrap();
    let mut gradient = vec![0.0; x.len()];
    let losses = objective.evaluate(&x, &mut gradient).unwrap();
    (losses, gradient)
}

fn compare_with_card(
    weights: &VggWeights,
    losses: &LossWeights,
    (pooling, large_tiles): (Pooling, bool),
) {
    let size = Size::scaled(64, 96, 0.5);
    let mut processor = OnProcessor::new(weights.on_processor(pooling));
    let mut card = OnCard::new(weights, pooling, EmulatedCard::new()).unwrap();
    if large_tiles {
        card = card.with_large_tiles();
    }
    let (expected, wanted) = evaluated(&mut processor, losses, size);
    let (found, gradient) = evaluated(&mut card, losses, size);
    for (a, b) in [
        (found.content, expected.content),
        (found.style, expected.style),
    ] {
        assert!(
            (a / b - 1.0).abs() < 0.005,
            "{pooling:?}: {found:?} {expected:?}"
        );
    }
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let cosine =
        dot(&gradient, &wanted) / (dot(&gradient, &gradient) * dot(&wanted, &wanted)).sqrt();
    let length = (dot(&gradient, &gradient) / dot(&wanted, &wanted)).sqrt();
    println!("{pooling:?}: cosine {cosine}, length {length}, {found:?} {expected:?}");
    assert!(
        cosine > 0.998 && (length - 1.0).abs() < 0.02,
        "{cosine} {length}"
    );
}

/// The kernels of the card, compiled for the processor, with both kinds of pooling.
#[test]
fn a_card_finds_the_losses_and_the_gradient_of_the_processor() {
    let weights = small(&[
        (64, false),
        (64, false),
        (128, true),
        (64, false),
        (64, true),
    ]);
    let losses = LossWeights {
        content_layers: vec![(3, 0.7), (4, 0.3)],
        style_layers: vec![(0, 0.4), (1, 0.2), (2, 0.4)],
        style: 20.0,
        ..LossWeights::default()
    };
    for tested in [(Pooling::Max, false), (Pooling::Average, true)] {
        compare_with_card(&weights, &losses, tested);
    }
}

/// Canvas, losses on pixels and the optimiser's vectors on the card, with a picture to be held to.
#[test]
fn a_card_optimises_as_the_processor_does() {
    let weights = small(&[(64, false), (64, true)]);
    let losses = LossWeights {
        content_layers: vec![(1, 1.0)],
        style_layers: vec![(0, 0.5), (1, 0.5)],
        ..LossWeights::default()
    };
    let size = Size::scaled(40, 56, 0.5);
    let content = Canvas::new(&picture(0, 1.0), size);
    let (height, width) = size.pair();
    let anchors = [Anchor {
        target: Canvas::new(&picture(5, 1.5), size).planes,
        confidence: (0..height * width).map(|i| (i % 7) as f32 / 6.0).collect(),
    }];
    let mut processor = OnProcessor::new(weights.on_processor(Pooling::Average));
    let mut card = OnCard::new(&weights, Pooling::Average, EmulatedCard::new()).unwrap();
    let mut look = Look {
        network: &mut processor,
        input: &mut Vec::new(),
    };
    let style = Styles::new(vec![(Arc::new(picture(0, 3.0)), 1.0)])
        .target(&mut look, &[0, 1], ((height * width) as f64, 1.0), |size| {
            Tiles::new(size.pair(), 0, usize::MAX)
        })
        .unwrap();
    let parts = || {
        vec![Part {
            style: &style,
            guide: None,
        }]
    };
    // The canvas goes beyond what is shown.
    let start: Vec<f32> = content.planes.iter().map(|v| 1.4 * v - 40.0).collect();
    let tiles = || Tiles::new(size.pair(), 0, usize::MAX);
    for method in [Method::Lbfgs, Method::Adam { rate: 3.0 }] {
        let rule = StopRule::after(4);
        let mut objective = Objective::new(
            &mut processor,
            &losses,
            parts(),
            &content,
            &anchors,
            tiles(),
        )
        .unwrap();
        let (mut expected, mut wanted) = (start.clone(), Vec::new());
        let mut space = Processor::<StylizeError>::new(start.len());
        let evaluate =
            |x: &Vec<f32>, gradient: &mut Vec<f32>| Ok(objective.evaluate(x, gradient)?.total);
        let observe = |_: usize, loss: f64, _: &Vec<f32>| {
            wanted.push(loss);
            true
        };
        method
            .minimise(&mut space, 4, &mut expected, rule, evaluate, observe)
            .unwrap();

        let device = card.on_device().unwrap();
        device.hold(&anchors).unwrap();
        let mut space = device.space(start.len());
        let mut objective =
            Objective::new(&mut card, &losses, parts(), &content, &anchors, tiles()).unwrap();
        let (mut point, mut found) = (space.put(&start).unwrap(), Vec::new());
        let mut first = None;
        let evaluate = |x: &DeviceVector, gradient: &mut DeviceVector| {
            let losses = objective.evaluate_on_device(x, gradient)?;
            first.get_or_insert(losses);
            Ok(losses.total)
        };
        let observe = |_: usize, loss: f64, _: &DeviceVector| {
            found.push(loss);
            true
        };
        method
            .minimise(&mut *space, 4, &mut point, rule, evaluate, observe)
            .unwrap();
        let first = first.unwrap();
        assert!(first.temporal > 0.1 * first.total && first.variation > 0.01 * first.total);
        for (found, wanted) in found.iter().zip(&wanted) {
            println!("{method:?}: {found} {wanted}");
            assert!((found / wanted - 1.0).abs() < 0.01, "{found} {wanted}");
        }
        assert!(found[3] < 0.9 * found[0], "nothing was minimised");
        let own = space.take(&point).unwrap();
        let apart = own.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let apart = apart.sum::<f32>() / own.len() as f32;
        println!("{method:?}: {apart} of 255 apart");
        assert!(apart < 1.0, "{apart}");
    }
}

/// Half precision holds what VGG-16 makes of a picture, and its gradient.
#[test]
fn a_card_holds_the_features_of_vgg() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/vgg16.safetensors");
    let bytes = std::fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let weights = VggWeights::load(&file).unwrap();
    compare_with_card(&weights, &LossWeights::default(), (Pooling::Average, false));
}
