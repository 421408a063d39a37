//! The painter of a session: mirrored and frozen pictures, opacity, sizes, styles that change.

use super::*;
use crate::{kernels::StyleParameters, style::NetworkKind, stylize::Passthrough};

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
