//! Painting with the networks, on the processor and on a card.

use std::path::Path;

use candle_core::Device;

use super::*;
#[cfg(not(feature = "cuda"))]
use crate::{
    cuda::{compare, emulated::EmulatedCard},
    stylize::{Passthrough, motion_finder},
    temporal::{flow::FlowSettings, steady::Steady},
};
use crate::{models::ModelStore, picture_file::PictureFile, source::Sizing, style::StyleChoice};

fn gallery() -> Arc<Gallery> {
    Arc::new(Gallery::new(ModelStore::embedded().unwrap(), Device::Cpu).unwrap())
}

fn sample(path: &str) -> Picture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("samples")
        .join(path);
    PictureFile::read(&path, Sizing::MaxSide(192))
        .unwrap()
        .picture
}

fn picture() -> Picture {
    sample("astronaut.jpg")
}

fn paint(gallery: &Arc<Gallery>, style: StyleMix) -> Vec<u8> {
    paint_picture(gallery, style, picture()).into_rgb()
}

fn paint_picture(gallery: &Arc<Gallery>, style: StyleMix, mut picture: Picture) -> Picture {
    let settings = FeedForwardSettings {
        style,
        match_colors: false,
        paint_bars: false,
        device: PaintDevice::Cpu,
        threads: 1,
        precision: Precision::F32,
    };
    let mut painter = FeedForward::new(gallery.clone(), settings).unwrap();
    painter.paint(&mut picture).unwrap();
    picture
}

fn distance(a: &[u8], b: &[u8]) -> f32 {
    let sum: f32 = a
        .iter()
        .zip(b)
        .map(|(a, b)| f32::from(a.abs_diff(*b)))
        .sum();
    sum / a.len() as f32
}

#[test]
fn weaker_styles_are_nearer_to_the_picture() {
    let gallery = gallery();
    let any = gallery.any_picture().unwrap();
    let painting = sample("paintings/van_gogh_night_cafe.jpg");
    let from_picture = any.parameters(&any.numbers(&painting).unwrap());
    let pack = gallery.mix(&StyleChoice::single(19)).unwrap();
    for (style, nearest) in [
        (pack, 20.0),
        (StyleMix::new(NetworkKind::AnyPicture, from_picture), 32.0),
    ] {
        let far = [1.0, 0.5, 0.25].map(|strength| {
            let painted = paint(&gallery, style.clone().with_strength(strength));
            distance(&painted, picture().rgb())
        });
        println!("{far:?}");
        assert!(far[0] > 1.3 * far[1], "{far:?}");
        assert!(far[2] < nearest && far[0] > 1.5 * far[2], "{far:?}");
        assert_eq!(paint(&gallery, style.with_strength(0.0)), picture().rgb());
    }
}

#[test]
fn between_networks_the_paintings_are_mixed() {
    let gallery = gallery();
    let any = gallery.any_picture().unwrap();
    let flat = Picture::new(64, 64, [20, 160, 200].repeat(64 * 64)).unwrap();
    let any = any.parameters(&any.numbers(&flat).unwrap());
    let any = StyleMix::new(NetworkKind::AnyPicture, any);
    let pack = gallery.mix(&StyleChoice::single(3)).unwrap();
    let blend = StyleMix::blend([(&pack, 0.25), (&any, 0.75)]).unwrap();
    let (a, b, c) = (
        paint(&gallery, pack),
        paint(&gallery, any),
        paint(&gallery, blend),
    );
    for ((a, b), c) in a.iter().zip(&b).zip(&c) {
        let expected = 0.25 * f32::from(*a) + 0.75 * f32::from(*b);
        assert!((f32::from(*c) - expected).abs() <= 1.5, "{a} {b} {c}");
    }
}

/// Paintings that nothing is done to are steadied before they leave the card, others are brought there again; both are
/// what the processor's steadying makes of them, whoever finds the motion.
#[cfg(not(feature = "cuda"))]
#[test]
fn films_are_steadied_on_the_card_that_paints_them() {
    let gallery = gallery();
    let style = gallery.mix(&StyleChoice::single(19)).unwrap();
    let (width, height) = (40, 36);
    let whole = sample("astronaut.jpg");
    let frame = |t: usize| {
        let rows = (20..20 + height).map(|y| &whole.rgb()[3 * (y * whole.width() + 30 + 2 * t)..]);
        let rgb = rows.flat_map(|row| row[..3 * width].to_vec()).collect();
        Picture::new(width, height, rgb).unwrap()
    };
    let flow = FlowSettings::default();
    for (strength, card_finds) in [(1.0, true), (1.0, false), (0.5, true), (0.5, false)] {
        let settings = FeedForwardSettings {
            style: style.clone().with_strength(strength),
            match_colors: false,
            paint_bars: false,
            device: PaintDevice::Cuda(EmulatedCard::new()),
            threads: 1,
            precision: Precision::F32,
        };
        let steadiness = SteadySettings::new(1.0, 1).unwrap();
        let mut plain = FeedForward::new(gallery.clone(), settings.clone()).unwrap();
        let mut film = FeedForward::new(gallery.clone(), settings).unwrap();
        assert!(film.motion_finder(flow).unwrap().is_none());
        assert!(film.further_pass(steadiness, flow).unwrap().is_none());
        assert!(film.steady(Some(steadiness)).unwrap());
        assert_eq!(film.only_network().is_some(), strength == 1.0);
        assert!(film.further_pass(steadiness, flow).unwrap().is_some());
        let mut processor = Steady::new(steadiness).unwrap();
        let mut processors = motion_finder(&mut Passthrough, flow).unwrap();
        let mut finder = motion_finder(&mut film, flow).unwrap();
        for t in 0..4 {
            let (along, luma) = processors.find(&frame(t)).unwrap();
            let luma = luma.unwrap();
            let (mut painted, mut steady) = (frame(t), frame(t));
            plain.paint_along(&mut painted, &along).unwrap();
            let expected = processor.push(painted.clone(), &luma, along.motion());
            let along = match card_finds {
                true => finder.find(&frame(t)).unwrap().0,
                false => along,
            };
            assert_eq!(along.motion().is_some(), !card_finds && t > 0);
            assert_eq!(along.continues(), t > 0);
            let pending = film.paint_along(&mut steady, &along).unwrap();
            assert_eq!(pending.is_some(), strength == 1.0);
            if let Some(pending) = pending {
                pending(&mut steady).unwrap();
            }
            let (mean, most) = compare(steady.rgb(), expected.rgb());
            println!(
                "strength {strength}, card {card_finds}, frame {t}: mean {mean}, at most {most}"
            );
            let bounds = if card_finds { (0.1, 12) } else { (0.02, 2) };
            assert!(
                mean < bounds.0 && most <= bounds.1,
                "frame {t}: {mean}, {most}"
            );
            assert_eq!(t == 0, steady == painted, "frame {t}");
        }
        film.reset();
        let (mut painted, mut steady) = (frame(9), frame(9));
        plain.paint(&mut painted).unwrap();
        let along = finder.find(&frame(9)).unwrap().0;
        if let Some(pending) = film.paint_along(&mut steady, &along).unwrap() {
            pending(&mut steady).unwrap();
        }
        assert!(steady == painted, "history goes on behind a reset");
    }
}

/// Paints `picture` in the default style, at full strength.
fn painted(picture: Picture) -> Picture {
    let gallery = gallery();
    let style = gallery.mix(&StyleChoice::single(19)).unwrap();
    paint_picture(&gallery, style, picture)
}

#[test]
fn the_less_there_is_in_a_picture_the_less_is_painted() {
    let (width, height) = (96, 64);
    let black = Picture::black(width, height);
    assert_eq!(painted(black.clone()).rgb(), black.rgb());
    // A photo that fades to black: its painting does, at the end.
    let photo = picture();
    let light = [1.0_f32, 0.3, 0.08, 0.04, 0.02, 0.0].map(|light| {
        let rgb = photo.rgb().iter().map(|&v| (f32::from(v) * light) as u8);
        let faded = Picture::new(photo.width(), photo.height(), rgb.collect()).unwrap();
        let shown = painted_share(faded.rgb());
        let painting = painted(faded);
        let sum: u64 = painting.rgb().iter().map(|&v| u64::from(v)).sum();
        (shown, sum as f32 / painting.rgb().len() as f32)
    });
    println!("{light:?}");
    assert_eq!((light[0].0, light[1].0), (1.0, 1.0));
    assert!(light.windows(2).all(|two| two[1].0 <= two[0].0));
    assert!(light[3].1 < 0.8 * light[1].1 && light[5].1 == 0.0);
}

#[test]
fn bars_are_left_out_of_the_painting() {
    let photo = picture();
    let (width, height) = (photo.width(), photo.height());
    let bar = 24;
    let mut film = Picture::black(width, height + 2 * bar);
    film.rgb_mut()[bar * width * 3..][..photo.rgb().len()].copy_from_slice(photo.rgb());
    let film = painted(film);
    assert!(film.rgb()[..bar * width * 3].iter().all(|&v| v == 0));
    assert_eq!(
        &film.rgb()[bar * width * 3..][..photo.rgb().len()],
        painted(photo).rgb()
    );
}

/// A picture that a GPU has no room for is painted by the processor, unless the GPU was asked for.
#[cfg(feature = "gpu")]
#[test]
fn what_a_gpu_has_no_room_for_is_painted_by_the_processor() {
    use crate::kernels::reference::random_picture;
    let Some(gpu) = crate::gpu::tests::gpu() else {
        return;
    };
    let gallery = gallery();
    let settings = |gpu| FeedForwardSettings {
        style: gallery.mix(&StyleChoice::single(3)).unwrap(),
        match_colors: false,
        paint_bars: true,
        device: PaintDevice::Gpu(gpu),
        threads: 2,
        precision: Precision::Auto,
    };
    let picture = random_picture(5, 32, 540_000);
    let picture = Picture::new(32, 540_000, picture).unwrap();
    let mut asked = FeedForward::new(gallery.clone(), settings(gpu.clone())).unwrap();
    let error = asked.paint(&mut picture.clone()).unwrap_err();
    assert!(matches!(error, StylizeError::Gpu(_)), "{error}");
    let mut auto = FeedForward::new(gallery.clone(), settings(gpu.unasked())).unwrap();
    let mut painted = picture.clone();
    auto.paint(&mut painted).unwrap();
    assert_ne!(painted, picture);
}
