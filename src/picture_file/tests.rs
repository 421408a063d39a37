//! What becomes of transparency, of files that are there, and of broken ones.

use super::*;

#[test]
fn transparency_survives_png_and_webp_and_is_flattened_for_jpeg() {
    let folder = tempfile::tempdir().unwrap();
    let alpha: Vec<u8> = (0..32 * 40).map(|i| (i % 256) as u8).collect();
    let picture = Picture::new(40, 32, vec![255; 40 * 32 * 3]).unwrap();
    let original = PictureFile {
        picture,
        alpha: Some(alpha),
    };
    for name in ["a.png", "a.webp"] {
        let path = folder.path().join(name);
        assert_eq!(original.write(&path, false).unwrap(), None);
        let back = PictureFile::read(&path, Sizing::Native).unwrap();
        assert_eq!(back.alpha, original.alpha, "{name}");
        assert_eq!(back.picture, original.picture, "{name}");
    }
    let note = original.write(&folder.path().join("a.jpg"), false).unwrap();
    assert!(note.unwrap().contains("flattened"));
}

#[test]
fn what_is_half_transparent_keeps_its_colours() {
    let folder = tempfile::tempdir().unwrap();
    let (path, again) = (folder.path().join("a.png"), folder.path().join("b.png"));
    // Black, red and grey, from hardly to hardly not seen.
    let pixels = (0..32 * 48).flat_map(|i| {
        let [r, g, b] = [[0, 0, 0], [200, 10, 30], [128; 3]][i % 3];
        [r, g, b, (40 + i % 216) as u8]
    });
    let image = image::RgbaImage::from_raw(32, 48, pixels.collect()).unwrap();
    image.save(&path).unwrap();
    let file = PictureFile::read(&path, Sizing::Native).unwrap();
    file.write(&again, false).unwrap();
    let back = image::open(&again).unwrap().to_rgba8();
    for (pixel, before) in back.pixels().zip(image.pixels()) {
        // What rounding over white leaves of it.
        let most = 1 + 128 / before[3];
        let differs = |i: usize| pixel[i].abs_diff(before[i]) > most;
        assert!(
            pixel[3] == before[3] && ![0, 1, 2].map(differs).contains(&true),
            "{before:?} {pixel:?}"
        );
    }
}

#[test]
fn what_is_not_seen_does_not_mix_with_what_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, small) = (folder.path().join("a.png"), folder.path().join("b.png"));
    let seen = [200, 60, 30];
    let is_inside = |x: u32, y: u32| (x.abs_diff(700).pow(2) + y.abs_diff(600).pow(2)) < 500 * 500;
    let mut styles = Vec::new();
    for hidden in [[0; 3], [255; 3], [0, 255, 40]] {
        let image = image::RgbaImage::from_fn(1300, 1200, |x, y| {
            let ([r, g, b], a) = match is_inside(x, y) {
                true => (seen, 255),
                false => (hidden, 0),
            };
            image::Rgba([r, g, b, a])
        });
        image.save(&path).unwrap();
        let file = PictureFile::read(&path, Sizing::MaxSide(130)).unwrap();
        file.write(&small, true).unwrap();
        let back = image::open(&small).unwrap().to_rgba8();
        for pixel in back.pixels().filter(|pixel| pixel[3] > 0) {
            // What rounding over white leaves of it, and how much the filter overshoots at an edge.
            let most = 20_u8.saturating_add(255 / pixel[3]);
            let mut pairs = pixel.0.iter().zip(seen);
            let is_near = pairs.all(|(value, wanted)| value.abs_diff(wanted) <= most);
            assert!(is_near, "{pixel:?} before {hidden:?}");
        }
        assert!(back.pixels().any(|pixel| (1..255).contains(&pixel[3])));
        styles.push(PictureFile::read_style(&path).unwrap().picture);
    }
    assert!(styles.iter().all(|style| *style == styles[0]));
}

/// A PNG of grey that says it is this large and ends there.
fn enormous_png(side: u32) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        let crc = !body.iter().fold(u32::MAX, |crc, &byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| match crc & 1 {
                1 => crc >> 1 ^ 0xedb8_8320,
                _ => crc >> 1,
            })
        });
        [
            &(data.len() as u32).to_be_bytes()[..],
            &body,
            &crc.to_be_bytes(),
        ]
        .concat()
    };
    let size = side.to_be_bytes();
    let header = [&size[..], &size, &[8, 0, 0, 0, 0]].concat();
    let chunks = [chunk(b"IHDR", &header), chunk(b"IDAT", &[0x78, 0x9c])];
    [&b"\x89PNG\r\n\x1a\n"[..], &chunks.concat()].concat()
}

#[test]
fn what_memory_may_not_hold_is_refused_before_it_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.png");
    std::fs::write(&path, enormous_png(40_000)).unwrap();
    for error in [
        PictureFile::read(&path, Sizing::MaxSide(512)).unwrap_err(),
        PictureFile::read_style(&path).unwrap_err(),
    ] {
        let told = matches!(error, PictureError::Memory { width: 40_000, .. });
        assert!(told, "{error}");
    }
    // One that is large, and broken.
    std::fs::write(&path, enormous_png(4_000)).unwrap();
    let error = PictureFile::read(&path, Sizing::MaxSide(512)).unwrap_err();
    assert!(matches!(error, PictureError::Decode { .. }), "{error}");
}

#[test]
fn animations_are_told_from_pictures() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options, animated) in [
        ("a.webp", "-c:v libwebp_anim -loop 0", true),
        ("a.png", "-c:v apng -f apng", true),
        ("b.webp", "-frames:v 1 -c:v libwebp", false),
        ("b.png", "-frames:v 1", false),
    ] {
        let path = folder.path().join(name);
        let made = std::process::Command::new("ffmpeg")
            .args("-v error -f lavfi -i testsrc2=s=64x48:r=5:d=1".split(' '))
            .args(options.split(' '))
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success(), "{name}");
        assert_eq!(is_animated(&path), animated, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let [real, link] = ["real.png", "link.png"].map(|name| folder.path().join(name));
    std::fs::write(&real, "before").unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let file = PictureFile::new(Picture::black(32, 32));
    assert!(matches!(
        file.write(&link, false),
        Err(PictureError::Exists(_))
    ));
    file.write(&link, true).unwrap();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert_eq!(
        PictureFile::read(&real, Sizing::Native).unwrap().picture,
        file.picture
    );
}

#[test]
fn an_existing_file_is_kept_unless_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.png");
    let file = PictureFile::new(Picture::black(32, 32));
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(
        file.write(&path, false),
        Err(PictureError::Exists(_))
    ));
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    file.write(&path, true).unwrap();
    assert_eq!(
        PictureFile::read(&path, Sizing::Native).unwrap().picture,
        file.picture
    );
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
}

#[test]
fn sizes_out_of_bounds_name_the_option() {
    let path = Path::new("p.png");
    let large = check_size(path, Sizing::Native, 11_000, 9_000).unwrap_err();
    assert!(large.to_string().contains("--max-size 6336"), "{large}");
    assert!(check_size(path, Sizing::MaxSide(6336), 11_000, 9_000).is_ok());
    let (width, height) = (9000, 9000);
    let large = check_size(path, Sizing::Exact { width, height }, 60, 40).unwrap_err();
    assert!(large.to_string().contains("smaller --size"), "{large}");
    assert!(
        check_size(path, Sizing::Native, 31, 100)
            .unwrap_err()
            .to_string()
            .contains("--size")
    );
    // Banners that --max-size makes too thin.
    for (width, height) in [(4000, 200), (9999, 98), (33, 4001), (5000, 32)] {
        let small = check_size(path, Sizing::MaxSide(64), width, height).unwrap_err();
        let PictureError::TooSmall {
            suggestion: Some(side),
            ..
        } = small
        else {
            panic!("{small}");
        };
        assert!(
            small
                .to_string()
                .ends_with(&format!("--max-size {side} or more"))
        );
        assert!(
            check_size(path, Sizing::MaxSide(side), width, height).is_ok(),
            "{side}"
        );
    }
    // One that is too thin itself.
    let small = check_size(path, Sizing::MaxSide(400), 4000, 20).unwrap_err();
    assert!(small.to_string().ends_with("use --size"), "{small}");
}

#[test]
fn a_format_that_holds_no_picture_so_large_is_refused() {
    for (name, width, height, fits) in [
        ("a.webp", 16_383, 40, true),
        ("a.webp", 16_384, 40, false),
        ("a.jpg", 40, 65_535, true),
        ("a.jpeg", 40, 65_536, false),
        ("a.png", 70_000, 40, true),
    ] {
        let checked = check_format(Path::new(name), width, height);
        assert_eq!(checked.is_ok(), fits, "{name} {width}x{height}");
    }
    let file = PictureFile::new(Picture::black(16_400, 1));
    let error = file.write(Path::new("a.webp"), false).unwrap_err();
    let says = "WebP holds 16383 pixels a side: use .png or --max-size 16383";
    assert!(error.to_string().ends_with(says), "{error}");
}

#[test]
fn a_jpeg_that_ends_too_soon_is_told_from_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jpg");
    let rgb = (0..96 * 64 * 3).map(|i| (i * 37 % 256) as u8).collect();
    let file = PictureFile::new(Picture::new(96, 64, rgb).unwrap());
    file.write(&path, false).unwrap();
    assert!(!ends_early(&path));
    let whole = std::fs::read(&path).unwrap();
    for end in [2, 30, whole.len() / 2, whole.len() - 2] {
        std::fs::write(&path, &whole[..end]).unwrap();
        assert!(ends_early(&path), "{end} of {} bytes", whole.len());
    }
    let padded = [&whole[..2], &[0, 0, 0xff], &whole[2..]].concat();
    std::fs::write(&path, padded).unwrap();
    assert!(!ends_early(&path));
    let more = [&whole[..], b"a phone's own data"].concat();
    std::fs::write(&path, more).unwrap();
    assert!(!ends_early(&path));
    std::fs::write(&path, b"\x89PNG").unwrap();
    assert!(!ends_early(&path));
}

#[test]
fn white_shows_through() {
    assert_eq!(over_white([0, 100, 255], 0), [255, 255, 255]);
    assert_eq!(over_white([0, 100, 255], 255), [0, 100, 255]);
    assert_eq!(over_white([0, 0, 0], 128), [127, 127, 127]);
}

#[test]
fn what_is_transparent_bleaches_no_style() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("style.png");
    // Half of it brown and opaque, a quarter half transparent, a quarter not there.
    let image = image::RgbaImage::from_fn(8, 8, |x, y| match (x < 4, y < 4) {
        (true, _) => image::Rgba([120, 60, 30, 255]),
        (false, true) => image::Rgba([120, 60, 30, 128]),
        (false, false) => image::Rgba([0, 0, 0, 0]),
    });
    image.save(&path).unwrap();
    let style = PictureFile::read_style(&path).unwrap();
    for rgb in style.picture.rgb().chunks_exact(3) {
        for (value, wanted) in rgb.iter().zip([120, 60, 30_u8]) {
            assert!(value.abs_diff(wanted) <= 3, "{rgb:?}");
        }
    }
    assert_eq!(style.alpha.unwrap().iter().filter(|&&a| a == 0).count(), 16);
    let whole = PictureFile::read(
        &path,
        Sizing::Exact {
            width: 32,
            height: 32,
        },
    )
    .unwrap();
    assert!(whole.picture.rgb().ends_with(&[255, 255, 255]));
}
