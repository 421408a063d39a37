//! What keys do to what is wanted, and what they say.

use candle_core::Device;

use super::*;
use crate::models::ModelStore;

fn desk() -> Desk {
    let gallery = Gallery::new(ModelStore::embedded().unwrap(), Device::Cpu).unwrap();
    Desk::new(Arc::new(gallery), settings()).unwrap()
}

fn settings() -> DeskSettings {
    DeskSettings {
        style: StyleChoice::single(0),
        strength: 1.0,
        opacity: 1.0,
        colors: Colors::Style,
        saturation: 1.0,
        steady: None,
        size: SizeWish::Auto,
        mirror: true,
    }
}

fn press(desk: &mut Desk, keys: &str, now: Instant) {
    for c in keys.chars() {
        desk.press(Key::Char(c), now);
    }
}

#[test]
fn styles_by_arrow_and_number() {
    let (mut desk, now) = (desk(), Instant::now());
    let count = desk.gallery.styles().len();
    desk.press(Key::Left, now);
    assert_eq!(desk.base, count - 1);
    desk.press(Key::Right, now);
    assert_eq!(desk.base, 0);
    press(&mut desk, "1", now);
    assert_eq!(desk.base, 1);
    press(&mut desk, "2", now + Duration::from_millis(300));
    assert_eq!(desk.base, 12, "one and two are twelve");
    press(&mut desk, "9", now + Duration::from_secs(5));
    assert_eq!(desk.base, 9);
    press(&mut desk, "9", now + Duration::from_secs(5));
    assert_eq!(desk.base, 9, "there is no style 99");
    assert_eq!(desk.title(now + Duration::from_secs(5)).unwrap().1, 0);
    let shown = desk.title(now + Duration::from_secs(6)).unwrap();
    assert_eq!(shown, (desk.gallery.styles()[9].name.clone(), 255));
    assert_eq!(desk.title(now + Duration::from_secs(9)), None);
}

#[test]
fn blends_go_there_and_back() {
    let (mut desk, now) = (desk(), Instant::now());
    let plain = desk.wanted().style.clone();
    press(&mut desk, "b", now);
    assert_eq!(desk.style.weights(), [(0, 0.5), (1, 0.5)]);
    press(&mut desk, "]]]]]]]", now);
    assert_eq!(desk.style.weights(), [(1, 1.0)]);
    press(&mut desk, "[[[[[[[[[[", now);
    assert_eq!(desk.style.weights(), [(0, 1.0)]);
    assert_eq!(desk.wanted().style, plain);
}

#[test]
fn a_blend_that_has_arrived_is_left_from_its_other_style() {
    let (mut desk, now) = (desk(), Instant::now());
    press(&mut desk, "b]]]]]", now);
    assert_eq!(desk.style.weights(), [(1, 1.0)]);
    desk.press(Key::Right, now);
    assert_eq!(desk.style.weights(), [(2, 1.0)]);
    press(&mut desk, "b]]]]]b", now);
    assert_eq!(desk.style.weights(), [(3, 0.5), (4, 0.5)]);
}

#[test]
fn a_style_without_another_is_not_blended_with_itself() {
    let mut gallery = Gallery::for_pictures(ModelStore::embedded().unwrap()).unwrap();
    let folder = format!("{}/samples/paintings", env!("CARGO_MANIFEST_DIR"));
    let picture = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap();
    gallery.add_picture(&picture.path()).unwrap();
    let mut desk = Desk::new(Arc::new(gallery), settings()).unwrap();
    for key in ["b", "]", "["] {
        let now = Instant::now();
        press(&mut desk, key, now);
        assert_eq!(desk.style.weights(), [(0, 1.0)]);
        let told = "there is no other style to blend with";
        assert_eq!(desk.message(now).unwrap().0, told, "{key}");
        desk.message = None;
    }
}

#[test]
fn switches() {
    let (mut desk, now) = (desk(), Instant::now());
    press(&mut desk, "mc v--", now);
    assert!(!desk.wanted().mirror && desk.colors == Colors::Keep && desk.split);
    assert!(desk.wanted().frozen);
    assert_eq!(desk.wanted().size, SizeWish::Stepped { steps: -2 });
    press(&mut desk, "a ", now);
    assert_eq!(desk.wanted().size, SizeWish::Auto);
    assert!(!desk.wanted().frozen);
    for _ in 0..30 {
        desk.press(Key::Char('l'), now);
        desk.press(Key::Down, now);
    }
    let finish = Finish::new(0.0, Colors::Keep, 1.0).unwrap();
    assert_eq!(desk.wanted().finish, finish);
    assert_eq!(desk.wanted().style.strength(), 0.0);
    press(&mut desk, "c", now);
    assert_eq!(desk.colors, Colors::Style, "there is no palette to match");
    press(&mut desk, "...", now);
    assert_eq!(desk.wanted().steady, Some(0.3));
    press(&mut desk, ",,,,", now);
    assert_eq!(desk.wanted().steady, None);
    assert_eq!(desk.press(Key::Char('r'), now), Some(Command::Record));
    assert_eq!(desk.press(Key::Char('q'), now), Some(Command::Quit));
    assert_eq!(desk.press(Key::Escape, now), Some(Command::Leave));
}

/// Looks after the desk until nothing is on its way.
fn wait(desk: &mut Desk) {
    let started = Instant::now();
    while desk.awaited.is_some() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "it never arrives"
        );
        std::thread::sleep(Duration::from_millis(5));
        desk.follow_up(Instant::now());
    }
}

#[test]
fn a_style_that_is_chosen_while_another_is_looked_at_arrives() {
    let mut gallery = Gallery::new(ModelStore::embedded().unwrap(), Device::Cpu).unwrap();
    let folder = format!("{}/samples/paintings", env!("CARGO_MANIFEST_DIR"));
    let first = gallery
        .add_folder(std::path::Path::new(&folder))
        .unwrap()
        .start;
    let settings = DeskSettings {
        style: StyleChoice::single(first),
        ..settings()
    };
    let mut desk = Desk::new(Arc::new(gallery), settings).unwrap();
    let now = Instant::now();
    // The same two pictures, other shares.
    press(&mut desk, "]]]", now);
    wait(&mut desk);
    let wanted = desk.gallery.mix(&desk.style).unwrap();
    assert_eq!(desk.mix, wanted);
    // Others, faster than they can be looked at.
    for _ in 0..4 {
        desk.press(Key::Right, now);
    }
    wait(&mut desk);
    let wanted = desk.gallery.mix(&desk.style).unwrap();
    assert_eq!(desk.mix, wanted);
}
