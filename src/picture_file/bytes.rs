//! What the bytes of a file tell without being decoded.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

/// Whether a file holds an animation (WebP, PNG), of which only the first picture is read.
pub fn is_animated(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(1 << 16).read_to_end(&mut start));
    if read.is_err() {
        return false;
    }
    let has = |what: &[u8]| start.windows(what.len()).position(|at| at == what);
    if start.starts_with(b"RIFF") {
        // WebP's container (RFC 9649): a flag of the extended header.
        return start.get(8..16) == Some(b"WEBPVP8X") && start.get(20).is_some_and(|f| f & 2 != 0);
    }
    // A chunk before the first picture's.
    start.starts_with(b"\x89PNG")
        && match (has(b"acTL"), has(b"IDAT")) {
            (Some(animation), Some(picture)) => animation < picture,
            (animation, _) => animation.is_some(),
        }
}

/// Whether a file is a JPEG that ends before its picture does. Decoders read it all the same, and what is missing is
/// grey, or coarse where the picture was stored from coarse to fine.
pub fn ends_early(path: &Path) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let Ok(bytes) = fs::read(path) else {
        return false;
    };
    if !bytes.starts_with(&[0xff, 0xd8]) {
        return false;
    }
    // Segments say how long they are up to the first scan; what is coded there has no end marker but the picture's own.
    let mut at = 2;
    loop {
        match bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) {
            None => return true,
            Some(&[0xff, marker @ 1..=0xfe, high, low]) => {
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
                if marker == START_OF_SCAN {
                    break;
                }
            }
            // Padding.
            Some(_) => at += 1,
        }
    }
    let coded = bytes.get(at..).unwrap_or_default();
    !coded.windows(2).any(|two| two == [0xff, 0xd9])
}
