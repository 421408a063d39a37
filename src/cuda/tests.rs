//! The card's kernels against the reference.

use super::{
    Card, CardError, Launch, Parameters, TransformOnCard, emulated::EmulatedCard, paints_alike,
};
use crate::kernels::{
    Entry, NetworkShape,
    reference::{self, random_network, random_picture},
};

/// Mean and largest difference of a painting to the reference, of 255.
fn difference(shape: NetworkShape, (width, height): (usize, usize), busy: usize) -> (f32, f32) {
    let (weights, style) = random_network(shape, (width + height) as u64);
    let picture = random_picture(7, width, height);
    let expected = reference::paint(&weights, &style, &picture, width, height);
    let mut network = TransformOnCard::new(&weights, EmulatedCard::new()).unwrap();
    network.busy = busy;
    network.set_style(&style).unwrap();
    let mut painted = vec![0; picture.len()];
    network
        .paint(&picture, width, height, &mut painted)
        .unwrap();
    let mut again = vec![0; picture.len()];
    network.paint(&picture, width, height, &mut again).unwrap();
    assert_eq!(painted, again, "painting twice should give the same");
    let differences = expected
        .iter()
        .zip(&painted)
        .map(|(a, b)| (255.0 * a - f32::from(*b)).abs());
    let largest = differences.clone().fold(0.0, f32::max);
    (differences.sum::<f32>() / painted.len() as f32, largest)
}

const STUDENT: NetworkShape = NetworkShape {
    entry: Entry::Unshuffle {
        channels: 32,
        layers: 2,
    },
    blocks: 1,
    expand: [8, 4],
    last_kernel: Some(9),
};

#[test]
fn paintings_of_the_card_agree_with_the_reference() {
    let without_last = NetworkShape {
        expand: [16, 3],
        last_kernel: None,
        ..STUDENT
    };
    let narrow = NetworkShape {
        entry: Entry::Unshuffle {
            channels: 16,
            layers: 1,
        },
        expand: [16, 3],
        last_kernel: Some(5),
        ..STUDENT
    };
    for (shape, width, height) in [
        (NetworkShape::STYLE_PACK, 67, 45),
        (NetworkShape::ANY_PICTURE, 40, 50),
        (STUDENT, 67, 45),
        (without_last, 61, 49),
        (narrow, 150, 34),
    ] {
        // Small tiles, and large ones as large pictures have them.
        for busy in [128, 1] {
            let (mean, largest) = difference(shape, (width, height), busy);
            println!("{shape:?} {width}x{height}, {busy}: mean {mean}, largest {largest}");
            // A quarter of a level is what rounding to bytes alone makes.
            assert!(mean < 1.0, "{shape:?}: {mean}");
        }
    }
}

/// A card that computes wrongly, or has no room for more than so many bytes in one piece.
#[derive(Clone)]
struct Broken(EmulatedCard, fn(&mut Parameters), usize);

impl Card for Broken {
    type Memory = Vec<u128>;
    type Fetch = Vec<u8>;

    fn reserve(&self, bytes: usize) -> Result<Vec<u128>, CardError> {
        if bytes > self.2 {
            return Err(CardError::Driver {
                what: "reserve memory".to_owned(),
                why: "there is no more".to_owned(),
            });
        }
        self.0.reserve(bytes)
    }

    fn address(&self, memory: &Vec<u128>) -> u64 {
        self.0.address(memory)
    }

    fn size(&self, memory: &Vec<u128>) -> usize {
        self.0.size(memory)
    }

    fn upload(&self, bytes: &[u8], memory: &mut Vec<u128>) -> Result<(), CardError> {
        self.0.upload(bytes, memory)
    }

    fn fetch(&self, memory: &Vec<u128>, bytes: usize) -> Result<Vec<u8>, CardError> {
        self.0.fetch(memory, bytes)
    }

    unsafe fn launch(&self, launch: &Launch) -> Result<(), CardError> {
        let mut launch = launch.clone();
        self.1(&mut launch.parameters);
        // SAFETY: as the caller says.
        unsafe { self.0.launch(&launch) }
    }
}

#[test]
fn a_card_is_trusted_when_it_paints_what_the_processor_paints() {
    let card = EmulatedCard::new();
    paints_alike(card.clone()).unwrap();
    let paints_wrongly = |parameters: &mut Parameters| {
        if let Parameters::Convolution(convolution) = parameters {
            convolution.epsilon = 1.0;
        }
    };
    let steadies_wrongly = |parameters: &mut Parameters| {
        if let Parameters::Steadying(steadying) = parameters {
            steadying.mix += 0.1;
        }
    };
    let moves_wrongly = |parameters: &mut Parameters| {
        if let Parameters::Flow(flow) = parameters {
            flow.smoothness *= 2.0;
        }
    };
    for (what, wrongly) in [
        ("painting", paints_wrongly as fn(&mut Parameters)),
        ("steadying", steadies_wrongly),
        ("motion", moves_wrongly),
    ] {
        let error = paints_alike(Broken(card.clone(), wrongly, usize::MAX)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    }
}

/// A picture that is smooth but for a little, whose channels are almost constant: what they are rounded by shows.
fn smooth(width: usize, height: usize) -> Vec<u8> {
    let level = |i: usize| {
        let (pixel, colour) = (i / 3, i % 3);
        let (x, y) = (pixel % width, pixel / width);
        let detail = if (x / 9 + y / 7) % 5 == 0 { 9 } else { 0 };
        (180 + detail + 2 * colour + x / 12 + y / 9) as u8
    };
    (0..3 * width * height).map(level).collect()
}

#[test]
fn smooth_pictures_lose_little_to_half_precision_and_more_where_there_is_no_room() {
    let (width, height) = (96, 64);
    let (weights, style) = random_network(NetworkShape::STYLE_PACK, 11);
    let picture = smooth(width, height);
    let expected = reference::paint(&weights, &style, &picture, width, height);
    // The first layer's outputs, 32 channels at full size, are the largest.
    let single = 4 * 32 * width * height;
    let paint = |room: usize| {
        let card = Broken(EmulatedCard::new(), |_| (), room);
        let mut network = TransformOnCard::new(&weights, card).unwrap();
        network.set_style(&style).unwrap();
        let mut painted = vec![0; picture.len()];
        network.paint(&picture, width, height, &mut painted)?;
        let apart = expected.iter().zip(&painted);
        let apart = apart.map(|(a, b)| (255.0 * a - f32::from(*b)).abs());
        Ok::<_, CardError>(apart.sum::<f32>() / painted.len() as f32)
    };
    let (with_room, without) = (paint(single).unwrap(), paint(single - 1).unwrap());
    println!("{with_room} in single precision, {without} in half");
    assert!(
        with_room < 0.3 && without > 1.5 * with_room,
        "{with_room}, {without}"
    );
    assert!(paint(single / 2 - 1).is_err());
}

/// A style that lifts its channels far above zero: half precision keeps how they vary where their means are left out.
#[test]
fn channels_far_from_zero_lose_nothing() {
    let (width, height) = (67, 45);
    let shape = NetworkShape::STYLE_PACK;
    let (weights, mut style) = random_network(shape, 12);
    let last = shape.style_channels_of(shape.layers() - 1);
    style.shift[..last.start]
        .iter_mut()
        .for_each(|shift| *shift += 20.0);
    let picture = random_picture(7, width, height);
    let expected = reference::paint(&weights, &style, &picture, width, height);
    let mut network = TransformOnCard::new(&weights, EmulatedCard::new()).unwrap();
    network.set_style(&style).unwrap();
    let mut painted = vec![0; picture.len()];
    network
        .paint(&picture, width, height, &mut painted)
        .unwrap();
    let apart = expected.iter().zip(&painted);
    let apart = apart.map(|(a, b)| (255.0 * a - f32::from(*b)).abs());
    let mean = apart.sum::<f32>() / painted.len() as f32;
    println!("far from zero: mean {mean}");
    assert!(mean < 0.3, "{mean}");
}
