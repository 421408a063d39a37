//! In the right colours.

use allaprima::{sink::VideoSinkSettings, source::VideoSourceSettings};

use crate::support::*;

/// Eight colours, as RGB code values, in one row of equal patches.
const PATCHES: [[u8; 3]; 8] = [
    [255, 255, 255],
    [180, 180, 16],
    [16, 180, 180],
    [16, 180, 16],
    [180, 16, 180],
    [200, 30, 30],
    [16, 16, 180],
    [0, 0, 0],
];

/// Writes some raw frames of the patches, and returns the words that make `ffmpeg` read them.
fn patches(folder: &Folder, width: usize, height: usize) -> String {
    let mut bytes = Vec::new();
    for _ in 0..5 * height {
        for x in 0..width {
            bytes.extend(PATCHES[x * 8 / width]);
        }
    }
    std::fs::write(folder.path("patches.rgb"), bytes).unwrap();
    format!("-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r 25 -i @patches.rgb")
}

#[track_caller]
fn assert_patches(read: &Read, tolerance: f64) {
    for (number, wanted) in PATCHES.iter().enumerate() {
        let found = read.colour(1, (number, 8), (0, 1));
        assert_colour(found, wanted.map(f64::from), tolerance);
    }
}

#[test]
fn matrix_and_range_are_read_from_the_stream() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    for (matrix, range, tags) in [
        ("bt601", "tv", "-colorspace smpte170m -color_range tv"),
        ("bt709", "tv", "-colorspace bt709 -color_range tv"),
        ("bt2020", "tv", "-colorspace bt2020nc -color_range tv"),
        ("bt709", "pc", "-colorspace bt709 -color_range pc"),
        ("bt601", "pc", "-colorspace bt470bg -color_range pc"),
        ("smpte240m", "tv", "-colorspace smpte240m -color_range tv"),
        // Without a tag a small picture is taken for BT.601 of limited range.
        ("bt601", "tv", ""),
    ] {
        let input = folder.make(
            "in.mp4",
            &format!(
                "{raw} -vf scale=out_color_matrix={matrix}:out_range={range}:flags=accurate_rnd+full_chroma_int,format=yuv444p \
                 {tags} -c:v libx264 -qp 1 -preset ultrafast"
            ),
        );
        let read = read_all(&input);
        assert_patches(&read, 3.0);
        assert!(read.notes.is_empty(), "{:?}", read.notes);
    }
}

#[test]
fn ycgco_is_read() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    for pixels in ["yuv444p", "yuv420p", "nv12"] {
        let codec = if pixels == "nv12" { "rawvideo" } else { "ffv1" };
        for (range, limits) in [("tv", "limited"), ("pc", "full")] {
            let input = folder.make(
                "in.mkv",
                &format!(
                    "{raw} -vf zscale=min=gbr:rin=full:m=ycgco:r={limits},format=yuv444p,\
                     scale=flags=accurate_rnd+full_chroma_int:in_range={range}:out_range={range},format={pixels} \
                     -c:v {codec} -colorspace ycgco -color_range {range}"
                ),
            );
            assert_patches(&read_all(&input), 3.0);
        }
    }
}

#[test]
fn high_definition_without_a_tag_is_taken_for_bt709() {
    let folder = Folder::new();
    let raw = patches(&folder, 1280, 720);
    let input = folder.make(
        "in.mp4",
        &format!(
            "{raw} -frames:v 3 -vf scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,format=yuv420p -c:v libx264 -qp 1 -preset ultrafast"
        ),
    );
    assert_patches(&read_all(&input), 3.0);
}

#[test]
fn the_output_is_tagged_with_what_it_is_and_shows_the_same_colours() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    let input = folder.make("in.mkv", &format!("{raw} -c:v ffv1 -pix_fmt bgr0"));
    for name in ["out.mp4", "out.mkv", "out.mov", "out.webm"] {
        let output = folder.path(name);
        let writing = VideoSinkSettings {
            crf: Some(4),
            ..quick()
        };
        pass_with(&input, &output, VideoSourceSettings::default(), writing).unwrap();
        let tags = probe(
            &output,
            "v:0",
            "stream=pix_fmt,color_range,color_space,color_transfer,color_primaries",
        );
        assert_eq!(tags, ["yuv420p,tv,bt709,bt709,bt709"], "{name}");
        assert_patches(&read_all(&output), 3.0);
    }
}

#[test]
fn ten_bits_and_rgb_and_grey_are_read() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    for (format, encoder) in [
        ("yuv420p10le", "libx264 -qp 1"),
        ("yuv422p10le", "ffv1"),
        ("yuv444p12le", "ffv1"),
        ("gbrp", "libx264rgb -qp 0"),
        ("gbrp10le", "ffv1"),
        ("rgb24", "png"),
        ("yuvj420p", "mjpeg -q:v 1"),
    ] {
        let range = if format == "yuvj420p" { "pc" } else { "tv" };
        let encoder = encoder.replace("libx264rgb", "libx264rgb -pix_fmt bgr0");
        let conversion = if format.starts_with("yuv") {
            format!(
                "-vf scale=out_color_matrix=bt601:out_range={range}:flags=accurate_rnd,format={format}"
            )
        } else if format == "gbrp" {
            String::new()
        } else {
            format!("-pix_fmt {format}")
        };
        let input = folder.make("in.mkv", &format!("{raw} {conversion} -c:v {encoder}"));
        assert_patches(&read_all(&input), 3.0);
    }
    let grey = folder.make(
        "grey.mkv",
        "-f lavfi -i color=c=0x808080:size=64x64:rate=5:duration=1 -pix_fmt gray -c:v ffv1",
    );
    assert_colour(read_all(&grey).colour(0, (0, 1), (0, 1)), [128.0; 3], 2.0);
    let limited = folder.make(
        "limited.mkv",
        "-f lavfi -i color=c=white:size=64x64:rate=5:duration=1 -vf scale=out_range=tv,format=gray -color_range tv -c:v ffv1",
    );
    assert_colour(
        read_all(&limited).colour(0, (0, 1), (0, 1)),
        [255.0; 3],
        2.0,
    );
}

#[test]
fn hdr_is_mapped_to_an_ordinary_screen() {
    let folder = Folder::new();
    // A grey ramp in linear light, 0 to 1000 cd/m², stored as PQ; and the same as HLG.
    for (transfer, name) in [("smpte2084", "PQ"), ("arib-std-b67", "HLG")] {
        let input = folder.make(
            "in.mkv",
            &format!(
                "-f lavfi -i color=c=0x202020:size=64x64:rate=5:duration=1 -f lavfi -i color=c=0x808080:size=64x64:rate=5:duration=1 \
                 -f lavfi -i color=c=0xC0C0C0:size=64x64:rate=5:duration=1 -filter_complex \
                 [0][1][2]hstack=3,format=yuv420p10le,setparams=colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}:range=tv \
                 -c:v libx265 -preset ultrafast -x265-params log-level=none:lossless=1 -colorspace bt2020nc -color_primaries bt2020 -color_trc {transfer} -color_range tv"
            ),
        );
        let read = read_all(&input);
        assert!(
            read.notes_say("HDR") && read.notes_say(name),
            "{:?}",
            read.notes
        );
        let levels: Vec<f64> = (0..3)
            .map(|column| {
                let [r, g, b] = read.colour(0, (column, 3), (0, 1));
                assert!(
                    (r - g).abs() < 4.0 && (b - g).abs() < 4.0,
                    "grey stays grey: {r} {g} {b}"
                );
                g
            })
            .collect();
        // Dark stays dark, half of PQ (92 cd/m²) is a light grey, 0.75 (about 1000 cd/m²) is nearly white.
        assert!(levels[0] < 40.0, "{levels:?}");
        assert!((90.0..235.0).contains(&levels[1]), "{levels:?}");
        assert!(levels[2] > levels[1] + 15.0, "{levels:?}");
    }
}

#[test]
fn display_p3_is_mapped() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    for (transfer, tag) in [("709", "bt709"), ("iec61966-2-1", "iec61966-2-1")] {
        let input = folder.make(
            "in.mkv",
            &format!(
                "{raw} -vf zscale=min=gbr:pin=709:tin={transfer}:rin=full:p=smpte432:t={transfer}:m=709:r=limited,format=yuv444p16le \
                 -c:v ffv1 -colorspace bt709 -color_primaries smpte432 -color_trc {tag} -color_range tv"
            ),
        );
        let read = read_all(&input);
        assert!(read.notes_say("Display P3"), "{:?}", read.notes);
        assert_patches(&read, 4.0);
    }
}

#[test]
fn alpha_hides_wide_colours_too() {
    let folder = Folder::new();
    for primaries in ["bt709", "smpte432", "bt2020"] {
        let input = folder.make(
            "in.mkv",
            &format!(
                "-f lavfi -i color=red@0.0:s=64x64:r=5:d=0.4,format=yuva444p -c:v ffv1 -colorspace bt709 -color_primaries {primaries}"
            ),
        );
        assert_colour(read_all(&input).colour(0, (0, 1), (0, 1)), [0.0; 3], 1.0);
    }
}

#[test]
fn hdr_as_ictcp_is_the_same_picture() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    let read = |matrix: &str, tag: &str| {
        let input = folder.make(
            "in.mkv",
            &format!(
                "{raw} -vf zscale=min=gbr:pin=709:tin=709:rin=full:p=2020:t=smpte2084:m={matrix}:r=limited,format=yuv444p16le \
                 -c:v ffv1 -colorspace {tag} -color_primaries bt2020 -color_trc smpte2084 -color_range tv"
            ),
        );
        read_all(&input)
    };
    let (plain, ictcp) = (read("2020_ncl", "bt2020nc"), read("ictcp", "ictcp"));
    assert!(ictcp.notes_say("HDR"), "{:?}", ictcp.notes);
    for number in 0..PATCHES.len() {
        let wanted = plain.colour(1, (number, 8), (0, 1));
        assert_colour(ictcp.colour(1, (number, 8), (0, 1)), wanted, 3.0);
    }
}

/// Pixels that libzimg does not take, on its own path and beside it: nothing is brought to another range on the way.
#[test]
fn ranges_survive_whatever_the_pixels() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    for (pixels, codec) in [
        ("yuv420p", "rawvideo"),
        ("nv12", "rawvideo"),
        ("yuyv422", "rawvideo"),
        ("yuv440p10le", "ffv1"),
        ("yuv420p10le", "ffv1"),
    ] {
        for range in ["tv", "pc"] {
            let input = folder.make(
                "in.mkv",
                &format!(
                    "{raw} -vf scale=flags=accurate_rnd+full_chroma_int:out_color_matrix=bt709:out_range={range},format={pixels} \
                     -c:v {codec} -colorspace bt709 -color_range {range}"
                ),
            );
            assert_patches(&read_all(&input), 3.0);
        }
    }
}

#[test]
fn wide_colours_and_hdr_of_odd_sizes_are_read() {
    let folder = Folder::new();
    for (matrix, transfer) in [
        ("bt2020nc", "smpte2084"),
        ("bt2020c", "smpte2084"),
        ("bt2020nc", "bt2020-10"),
    ] {
        let input = folder.make(
            "in.mkv",
            &format!(
                "-f lavfi -i color=c=0x808080:size=96x64:rate=5:duration=0.4 -vf scale=97:65,setsar=1,setparams=range=tv,format=yuv420p10le \
                 -c:v ffv1 -colorspace {matrix} -color_primaries bt2020 -color_trc {transfer} -color_range tv"
            ),
        );
        let read = read_all(&input);
        assert_eq!((read.info.width, read.info.height), (97, 65));
        let [r, g, b] = read.colour(0, (0, 1), (0, 1));
        assert!(
            g > 60.0 && (r - g).abs() < 4.0 && (b - g).abs() < 4.0,
            "{r} {g} {b}"
        );
    }
}

#[test]
fn wide_colours_are_mapped() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    let make = |pixels: &str, codec: &str, range: &str| {
        let limits = if range == "tv" { "limited" } else { "full" };
        folder.make(
            "in.mkv",
            &format!(
                "{raw} -vf zscale=min=gbr:pin=709:tin=709:rin=full:p=2020:t=2020_10:m=2020_ncl:r={limits},format=yuv444p16le,\
                 scale=flags=accurate_rnd+full_chroma_int:in_range={range}:out_range={range},format={pixels} \
                 -c:v {codec} -colorspace bt2020nc -color_primaries bt2020 -color_trc bt2020-10 -color_range {range}"
            ),
        )
    };
    let read = read_all(&make("yuv444p16le", "ffv1", "tv"));
    assert_patches(&read, 4.0);
    assert!(read.notes_say("BT.2020"), "{:?}", read.notes);
    // Eight bits are too few for a red near none (three steps between two ways to resample colour); but what libzimg does
    // not take is read as what it takes, where another range or matrix would be ten steps and more off.
    for range in ["tv", "pc"] {
        let [taken, brought] =
            ["yuv420p", "nv12"].map(|pixels| read_all(&make(pixels, "rawvideo", range)));
        for number in 0..PATCHES.len() {
            let [taken, brought] =
                [&taken, &brought].map(|read| read.colour(1, (number, 8), (0, 1)));
            assert_colour(brought, taken, 5.0);
        }
    }
}

#[test]
fn interlaced_pictures_are_woven_apart_one_for_one() {
    let folder = Folder::new();
    let input = folder.make(
        "in.mpg",
        "-f lavfi -i testsrc2=size=96x64:rate=50:duration=1 -vf tinterlace=interleave_top,fieldorder=tff \
         -c:v mpeg2video -flags +ilme+ildct -q:v 2 -top 1",
    );
    let frames = times(&input, "v:0").len();
    let read = read_all(&input);
    assert_eq!(read.frames.len(), frames);
    assert!(read.notes_say("interlaced"), "{:?}", read.notes);
    let wanted: Vec<f64> = (0..frames).map(|n| n as f64 / 25.0).collect();
    let first = read.seconds()[0];
    let found: Vec<f64> = read.seconds().iter().map(|t| t - first).collect();
    assert_times(&found, &wanted, 0.001);
}

#[test]
fn a_picture_with_a_pattern_in_its_name_is_that_picture() {
    let folder = Folder::new();
    let raw = patches(&folder, 256, 64);
    let picture = folder.make("one.png", &format!("{raw} -frames:v 1"));
    for name in ["a%d.png", "my%20photo.png"] {
        folder.make("a1.png", "-f lavfi -i color=red:s=64x64 -frames:v 1");
        std::fs::copy(&picture, folder.path(name)).unwrap();
        let read = read_all(&folder.path(name));
        assert_eq!(read.frames.len(), 1);
        assert_colour(
            read.colour(0, (0, 8), (0, 1)),
            PATCHES[0].map(f64::from),
            3.0,
        );
    }
}

#[test]
fn transparent_parts_are_black() {
    let folder = Folder::new();
    let half_clear = "-f lavfi -i color=white:size=64x64:rate=5:duration=1,format=rgba,geq=r=255:g=255:b=255:a=255*lt(X\\,32)";
    for (name, encoder) in [
        ("in.mov", "qtrle"),
        ("in.mkv", "png"),
        ("in.webm", "libvpx-vp9 -pix_fmt yuva420p -lossless 1"),
        ("in.avi", "ffv1 -pix_fmt yuva444p10le"),
        ("deep.mkv", "png -pix_fmt rgba64be"),
    ] {
        let input = folder.make(name, &format!("{half_clear} -c:v {encoder}"));
        let read = read_all(&input);
        assert!(read.notes_say("transparent"), "{name}: {:?}", read.notes);
        assert_colour(read.colour(0, (0, 2), (0, 1)), [255.0; 3], 3.0);
        assert_colour(read.colour(0, (1, 2), (0, 1)), [0.0; 3], 3.0);
    }
}

#[test]
fn an_alpha_channel_that_hides_nothing_is_not_mentioned() {
    let folder = Folder::new();
    for (name, encoder) in [
        ("in.mov", "qtrle -pix_fmt argb"),
        ("in.mkv", "png -pix_fmt rgba"),
        ("in.gif", "gif"),
        ("in.avi", "ffv1 -pix_fmt yuva444p10le"),
        ("pal.mkv", "png -pix_fmt pal8"),
    ] {
        let input = folder.make(
            name,
            &format!("-f lavfi -i color=0xC08040:size=64x64:rate=5:duration=1 -c:v {encoder}"),
        );
        let read = read_all(&input);
        assert!(read.notes.is_empty(), "{name}: {:?}", read.notes);
        assert_colour(read.colour(0, (0, 1), (0, 1)), [192.0, 128.0, 64.0], 4.0);
    }
}
