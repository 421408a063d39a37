//! The painter of a session: mirrored and frozen pictures, opacity, sizes, styles that change.

use super::*;
use crate::{
    kernels::StyleParameters, style::NetworkKind, stylize::Passthrough,
    temporal::steady::tests::noise,
};

fn wanted() -> Wanted {
    Wanted {
        style: Arc::new(StyleMix::new(
            NetworkKind::Pack,
            StyleParameters {
                scale: vec![1.0],
                shift: vec![0.0],
            },
        )),
        finish: Finish::default(),
        steady: None,
        size: SizeWish::Auto,
        mirror: false,
        frozen: false,
    }
}

fn captured(value: u8) -> Captured {
    let rgb = (0..64 * 36).flat_map(|i| [(i % 64) as u8, value, 0]);
    Captured {
        picture: Picture::new(64, 36, rgb.collect()).unwrap(),
        at: Instant::now(),
        is_repeated: false,
    }
}

#[test]
fn mirror_and_freeze() {
    let mut wanted = wanted();
    let mut painter = LivePainter::new(Box::new(Passthrough), &wanted, 30.0, 1);
    let first = |painting: &Painting| painting.full().rgb()[..2].to_vec();
    assert_eq!(
        first(&painter.paint(captured(1), 0, true, &wanted).unwrap()),
        [0, 1]
    );
    wanted.mirror = true;
    assert_eq!(
        first(&painter.paint(captured(2), 1, true, &wanted).unwrap()),
        [63, 2]
    );
    wanted.frozen = true;
    painter.paint(captured(3), 2, true, &wanted).unwrap();
    assert_eq!(
        first(&painter.paint(captured(4), 3, true, &wanted).unwrap()),
        [63, 3]
    );
    wanted.mirror = false;
    let unmirrored = painter.paint(captured(4), 3, true, &wanted).unwrap();
    assert_eq!(first(&unmirrored), [0, 3]);
    wanted.mirror = true;
    wanted.frozen = false;
    assert_eq!(
        first(&painter.paint(captured(5), 4, true, &wanted).unwrap()),
        [63, 5]
    );
}

#[test]
fn a_step_down_from_a_small_size_is_no_step_up() {
    let mut wanted = wanted();
    let mut painter = LivePainter::new(Box::new(Passthrough), &wanted, 30.0, 1);
    let mut pixels = |wanted: &Wanted| {
        let captured = Captured {
            picture: Picture::black(640, 360),
            at: Instant::now(),
            is_repeated: false,
        };
        let painting = painter.paint(captured, 0, true, wanted).unwrap();
        painting.painted.width() * painting.painted.height()
    };
    wanted.size = SizeWish::Fixed((160, 96));
    assert_eq!(pixels(&wanted), 160 * 96);
    wanted.size = SizeWish::Stepped { steps: -1 };
    assert!(pixels(&wanted) <= 160 * 96);
    wanted.size = SizeWish::Stepped { steps: 1 };
    assert!(pixels(&wanted) > 160 * 96);
}

#[test]
fn at_opacity_0_nothing_is_painted() {
    struct Forbidden;
    impl Stylizer for Forbidden {
        fn paint(&mut self, _: &mut Picture) -> Result<(), StylizeError> {
            panic!("it should not be asked")
        }
    }
    let mut wanted = wanted();
    wanted.finish = Finish::new(0.0, Colors::Style, 1.0).unwrap();
    let mut painter = LivePainter::new(Box::new(Forbidden), &wanted, 30.0, 1);
    let painting = painter.paint(captured(9), 0, true, &wanted).unwrap();
    assert_eq!(painting.full(), &painting.original);
}

#[test]
fn a_fixed_size_is_painted_and_brought_back() {
    let mut wanted = wanted();
    wanted.size = SizeWish::Fixed((32, 32));
    let mut painter = LivePainter::new(Box::new(Passthrough), &wanted, 30.0, 1);
    let painting = painter.paint(captured(9), 0, true, &wanted).unwrap();
    assert_eq!(
        (painting.painted.width(), painting.painted.height()),
        (32, 32)
    );
    assert_eq!(
        (painting.full().width(), painting.full().height()),
        (64, 36)
    );
}

/// Counts how often a scene begins.
struct Scenes(Arc<std::sync::atomic::AtomicU64>);

impl Stylizer for Scenes {
    fn paint(&mut self, _: &mut Picture) -> Result<(), StylizeError> {
        Ok(())
    }

    fn reset(&mut self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn another_scene_begins_for_the_stylizer_with_and_without_steadying() {
    let shot = |first: bool| {
        // Nothing in the one moves to anything in the other.
        let rgb = (0..192 * 108).flat_map(|i| {
            let (x, y) = (i % 192, i / 192);
            let light = if (x < 96) == first { 100.0 } else { 0.0 };
            let value = (light + 120.0 * noise(x / 4, y / 4, u64::from(first))) as u8;
            if first {
                [20, 20, value]
            } else {
                [value, 20, 20]
            }
        });
        Captured {
            picture: Picture::new(192, 108, rgb.collect()).unwrap(),
            at: Instant::now(),
            is_repeated: false,
        }
    };
    for steady in [None, Some(1.0)] {
        let wanted = Wanted {
            steady,
            size: SizeWish::Fixed((192, 108)),
            ..wanted()
        };
        let count = Arc::default();
        let scenes = Scenes(Arc::clone(&count));
        let mut painter = LivePainter::new(Box::new(scenes), &wanted, 30.0, 1);
        let begun = [true, true, false, false].map(|first| {
            painter.paint(shot(first), 0, true, &wanted).unwrap();
            count.load(std::sync::atomic::Ordering::SeqCst)
        });
        // The first picture of all begins one as well.
        assert_eq!(begun, [1, 1, 2, 2], "{steady:?}");
    }
}

#[test]
fn a_style_that_changes_is_held_less() {
    let mut wanted = Wanted {
        steady: Some(1.0),
        ..wanted()
    };
    let mut painter = LivePainter::new(Box::new(Passthrough), &wanted, 30.0, 1);
    let mut settings = |wanted: &Wanted| {
        painter.paint(captured(1), 0, true, wanted).unwrap();
        painter.steadier.as_ref().unwrap().settings
    };
    let rests = settings(&wanted);
    wanted.style = Arc::new((*wanted.style).clone());
    settings(&wanted);
    std::thread::sleep(FADE / 2);
    assert_ne!(settings(&wanted), rests);
    std::thread::sleep(FADE);
    assert_eq!(settings(&wanted), rests);
}
