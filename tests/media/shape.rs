//! Upright, square, of the size that is wanted.

use allaprima::source::{Sizing, SourceError, VideoSourceSettings};

use crate::support::*;

/// A picture whose quarters are red, green, blue (top left, top right, bottom left) and white.
const QUARTERS: &str = "-f lavfi -i color=red:size=48x32:rate=5:duration=1 -f lavfi -i color=0x00FF00:size=48x32:rate=5:duration=1 \
     -f lavfi -i color=blue:size=48x32:rate=5:duration=1 -f lavfi -i color=white:size=48x32:rate=5:duration=1 \
     -filter_complex [0][1]hstack[top];[2][3]hstack[low];[top][low]vstack";

/// Which colours stand top left, top right, bottom left and bottom right.
fn corners(read: &Read) -> String {
    let mut corners = String::new();
    for row in 0..2 {
        for column in 0..2 {
            let [r, g, b] = read.colour(0, (column, 2), (row, 2));
            corners.push(match (r > 128.0, g > 128.0, b > 128.0) {
                (true, false, false) => 'R',
                (false, true, false) => 'G',
                (false, false, true) => 'B',
                (true, true, true) => 'W',
                _ => '?',
            });
        }
    }
    corners
}

#[test]
fn rotation_is_applied_and_not_handed_on() {
    let folder = Folder::new();
    folder.make(
        "plain.mp4",
        &format!("{QUARTERS} -c:v libx264 -qp 4 -preset ultrafast"),
    );
    // The `rotate` tag of this ffmpeg counts turns against the clock (its own player shows the same as wanted here).
    for (degrees, size, wanted) in [
        (0, (96, 64), "RGBW"),
        (90, (64, 96), "GWRB"),
        (180, (96, 64), "WBGR"),
        (270, (64, 96), "BRWG"),
    ] {
        let input = folder.make(
            "in.mp4",
            &format!("-i @plain.mp4 -c copy -metadata:s:v:0 rotate={degrees}"),
        );
        let read = read_all(&input);
        assert_eq!((read.info.width, read.info.height), size);
        assert_eq!(corners(&read), wanted, "{degrees}");
        let output = folder.path("out.mp4");
        let _ = std::fs::remove_file(&output);
        pass(&input, &output);
        let read = read_all(&output);
        assert_eq!((read.info.width, read.info.height), size);
        assert_eq!(corners(&read), wanted, "{degrees}");
        assert_eq!(
            probe(&output, "v:0", "stream=width,height"),
            [format!("{},{}", size.0, size.1)]
        );
    }
}

#[test]
fn pixels_become_square() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mp4",
        "-f lavfi -i testsrc2=size=180x144:rate=5:duration=1 -vf setsar=64/45 -c:v libx264 -preset ultrafast",
    );
    let read = read_all(&input);
    assert_eq!((read.info.width, read.info.height), (256, 144));
    assert!(read.notes_say("64:45"), "{:?}", read.notes);
    let output = folder.path("out.mp4");
    pass(&input, &output);
    assert_eq!(
        probe(&output, "v:0", "stream=width,height,sample_aspect_ratio"),
        ["256,144,1:1"]
    );
}

#[test]
fn sizes() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mp4",
        "-f lavfi -i testsrc2=size=320x180:rate=5:duration=1 -c:v libx264 -preset ultrafast",
    );
    let size = |sizing| {
        let settings = VideoSourceSettings {
            size: sizing,
            ..VideoSourceSettings::default()
        };
        read(&input, settings).map(|read| (read.info.width, read.info.height))
    };
    assert_eq!(size(Sizing::Native).unwrap(), (320, 180));
    assert_eq!(size(Sizing::MaxSide(160)).unwrap(), (160, 90));
    assert_eq!(size(Sizing::MaxSide(1000)).unwrap(), (320, 180));
    let exact = Sizing::Exact {
        width: 99,
        height: 77,
    };
    assert_eq!(size(exact).unwrap(), (99, 77));
    let huge = Sizing::Exact {
        width: 1 << 40,
        height: 64,
    };
    let error = size(huge).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { .. }), "{error}");
    let error = size(Sizing::MaxSide(40)).unwrap_err();
    assert!(matches!(error, SourceError::TooSmall { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("in.mp4") && text.contains("--size"), "{text}");
}

#[test]
fn a_new_picture_size_in_mid_stream_is_scaled_to_the_first() {
    let folder = Folder::new();
    let mut glued = Vec::new();
    for (name, size, colour) in [
        ("one.ts", "96x64", "red"),
        ("two.ts", "160x120", "blue"),
        ("three.ts", "64x96", "white"),
    ] {
        let part = folder.make(
            name,
            &format!(
                "-f lavfi -i color={colour}:size={size}:rate=25:duration=0.4 -c:v libx264 -qp 2"
            ),
        );
        glued.extend(std::fs::read(part).unwrap());
    }
    let input = folder.path("in.ts");
    std::fs::write(&input, glued).unwrap();
    let read = read_all(&input);
    assert_eq!(read.frames.len(), 30);
    assert_eq!(read.resets, 2);
    assert_eq!((read.info.width, read.info.height), (96, 64));
    assert!(read.notes_say("changes 2 times"), "{:?}", read.notes);
    assert!(read.colour(2, (0, 1), (0, 1))[0] > 200.0);
    assert!(read.colour(15, (0, 1), (0, 1))[2] > 200.0);
    // The third has another shape: it stands between bars.
    assert!(read.colour(25, (0, 8), (0, 1))[1] < 30.0);
    assert!(read.colour(25, (4, 8), (0, 1))[1] > 200.0);
    assert!(read.notes_say("black bars"), "{:?}", read.notes);
}

#[test]
fn pixels_of_another_shape_in_mid_stream_bend_nothing() {
    let folder = Folder::new();
    let mut glued = Vec::new();
    for (name, aspect) in [("wide.ts", "64/45"), ("narrow.ts", "16/15")] {
        let part = folder.make(
            name,
            &format!(
                "-f lavfi -i color=white:size=96x80:rate=25:duration=0.4 -vf setsar={aspect} -c:v libx264 -qp 2"
            ),
        );
        glued.extend(std::fs::read(part).unwrap());
    }
    let input = folder.path("in.ts");
    std::fs::write(&input, glued).unwrap();
    let read = read_all(&input);
    assert_eq!((read.info.width, read.info.height), (136, 80));
    assert!(read.colour(5, (0, 8), (0, 1))[0] > 240.0);
    // Three quarters as wide.
    assert!(read.colour(15, (0, 10), (0, 1))[0] < 20.0);
    assert!(read.colour(15, (4, 8), (0, 1))[0] > 240.0);
}

#[test]
fn odd_sizes_lose_their_last_row_and_column() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mkv",
        "-f lavfi -i testsrc=size=97x65:rate=5:duration=1 -pix_fmt bgr0 -c:v ffv1",
    );
    let read = read_all(&input);
    assert_eq!((read.info.width, read.info.height), (97, 65));
    let output = folder.path("out.mp4");
    let passed = pass(&input, &output);
    assert!(passed.notes_say("cropped to 96x64"), "{:?}", passed.notes);
    assert_eq!(probe(&output, "v:0", "stream=width,height"), ["96,64"]);
}
