//! The person mask over a moving, noisy picture: what it costs, how much it flickers, where its edges are.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::{path::Path, sync::Arc, time::Instant};

use allaprima::{
    frame::Picture,
    models::{ModelStore, PERSON},
    nn::person_net::PersonNet,
    picture_file::PictureFile,
    source::Sizing,
    stylize::{MaskSource, Region},
};

const FRAMES: usize = 24;
const STEP: usize = 4;
const SIZE: (usize, usize) = (640, 360);

/// The astronaut, moving left by [`STEP`] pixels a frame under fresh noise.
fn film() -> Vec<Picture> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/astronaut.jpg");
    let size = Sizing::Exact {
        width: SIZE.0 + FRAMES * STEP,
        height: 736,
    };
    let photo = PictureFile::read(&path, size).unwrap().picture;
    let mut state = 1_u32;
    (0..FRAMES)
        .map(|frame| {
            let mut rgb = Vec::new();
            for y in 0..SIZE.1 {
                let start = (y * photo.width() + frame * STEP) * 3;
                rgb.extend(photo.rgb()[start..start + SIZE.0 * 3].iter().map(|&value| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let noise = (state >> 24) as i32 % 13 - 6;
                    (i32::from(value) + noise).clamp(0, 255) as u8
                }));
            }
            Picture::new(SIZE.0, SIZE.1, rgb).unwrap()
        })
        .collect()
}

/// Mean difference between each mask and the one before, moved as the picture moved, 0..1.
fn flicker(masks: &[Vec<u8>]) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for pair in masks.windows(2) {
        for y in 0..SIZE.1 {
            for x in STEP..SIZE.0 {
                let before = pair[0][y * SIZE.0 + x];
                let after = pair[1][y * SIZE.0 + x - STEP];
                sum += f64::from(before.abs_diff(after)) / 255.0;
                count += 1.0;
            }
        }
    }
    sum / count
}

#[test]
fn the_mask_follows_a_person_and_hardly_flickers() {
    let bytes = ModelStore::embedded().unwrap().read(PERSON).unwrap();
    let net = Arc::new(PersonNet::new(&bytes).unwrap());
    let film = film();
    let mut region = Region::new(MaskSource::Person(net.clone()), false);
    let mut times = Vec::new();
    let steadied: Vec<_> = film
        .iter()
        .map(|picture| {
            let started = Instant::now();
            let mask = region.mask(picture).unwrap();
            times.push(started.elapsed());
            mask
        })
        .collect();
    let alone: Vec<_> = film
        .iter()
        .map(|picture| {
            let mut region = Region::new(MaskSource::Person(net.clone()), false);
            region.mask(picture).unwrap()
        })
        .collect();
    times.sort_unstable();
    let (steady, raw) = (flicker(&steadied), flicker(&alone));
    println!(
        "{:.1} ms a frame at 640x360; flicker {steady:.4}, {raw:.4} without steadying",
        times[FRAMES / 2].as_secs_f64() * 1e3
    );
    assert!(steady < 0.02, "{steady}");
    let share = |mask: &[u8]| mask.iter().filter(|&&m| m > 127).count() as f64 / mask.len() as f64;
    let (now, fresh) = (share(&steadied[FRAMES - 1]), share(&alone[FRAMES - 1]));
    assert!(
        (0.1..0.7).contains(&fresh),
        "{fresh} of the picture is a person"
    );
    assert!(
        (now - fresh).abs() < 0.03,
        "the mask lags: {now} against {fresh}"
    );
}
