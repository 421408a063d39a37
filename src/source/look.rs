//! From a decoded frame to an upright picture of square pixels in display RGB.
//!
//! A decoder yields what is stored: any of two hundred pixel formats, any of a dozen colour systems, pixels that are not
//! square, pictures that lie on their side, half pictures woven together. A [`Look`] is everything about a frame that
//! decides how it is turned into RGB; from it follows the text of a filter graph, and as long as the look of the frames
//! stays the same the graph stays too.

use ffmpeg_next as ff;

use crate::media::edge::{ColourTags, PixelFormat};

/// A quarter turn and a mirror image: what a display matrix says, rounded to right angles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Width and height change places (done first).
    pub(super) transpose: bool,
    /// Then left and right change places.
    pub(super) flip_x: bool,
    /// Then top and bottom change places.
    pub(super) flip_y: bool,
}

impl Orientation {
    /// Reads a display matrix: rows (a b u) (c d v) (x y w), of which a, b, c, d turn and mirror a stored point (p, q)
    /// into (a·p + c·q, b·p + d·q) on the display.
    pub(super) fn from_matrix(matrix: &[i32; 9]) -> Self {
        let [a, b, c, d] = [matrix[0], matrix[1], matrix[3], matrix[4]].map(i64::from);
        let transpose = b.abs() + c.abs() > a.abs() + d.abs();
        let (along_x, along_y) = if transpose { (c, b) } else { (a, d) };
        Self {
            transpose,
            flip_x: along_x < 0,
            flip_y: along_y < 0,
        }
    }

    /// The filters, each with a comma in front.
    fn filters(self) -> String {
        let mut filters = String::new();
        if self.transpose {
            // `cclock_flip` is the plain transposition.
            filters += ",transpose=cclock_flip";
        }
        if self.flip_x {
            filters += ",hflip";
        }
        if self.flip_y {
            filters += ",vflip";
        }
        filters
    }

    /// Width and height on the display.
    pub(super) fn turn(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.transpose {
            (height, width)
        } else {
            (width, height)
        }
    }
}

/// Everything about a frame that decides how it becomes RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Stored width in pixels.
    pub(super) width: u32,
    /// Stored height in pixels.
    pub(super) height: u32,
    /// Pixel format.
    pub(super) format: PixelFormat,
    /// Colour tags.
    pub(super) colour: ColourTags,
    /// Width to height of a pixel; 1 to 1 as long as no frame says.
    pub(super) aspect: (u32, u32),
    /// Two half pictures are woven together.
    pub(super) interlaced: bool,
}

/// Filters of libzimg on one thread: on several they resample each slice of a picture by itself, which shows in 4:2:0.
const ALONE: &str = "threads=1";

/// PQ, SMPTE ST 2084.
const TRANSFER_PQ: u32 = 16;
/// Hybrid log-gamma, ARIB STD-B67.
const TRANSFER_HLG: u32 = 18;
/// Samples of colour lie in the middle of the pixels that share them, as in JPEG and MPEG-1.
const CHROMA_CENTRE: u32 = 2;
/// BT.2020 primaries.
const PRIMARIES_BT2020: u32 = 9;
/// sRGB's transfer, IEC 61966-2-1.
const TRANSFER_SRGB: u32 = 13;

impl Look {
    /// High dynamic range: needs tone mapping to be shown on an ordinary screen.
    pub(super) fn is_hdr(&self) -> bool {
        matches!(self.colour.transfer, TRANSFER_PQ | TRANSFER_HLG)
    }

    /// Width to height of the picture, not turned.
    pub(super) fn shape(&self) -> f64 {
        let (num, den) = self.aspect;
        f64::from(self.width) * f64::from(num) / (f64::from(self.height) * f64::from(den))
    }

    /// The name of the transfer function of HDR.
    pub(super) fn transfer_name(&self) -> &'static str {
        if self.colour.transfer == TRANSFER_HLG {
            "HLG"
        } else {
            "PQ"
        }
    }

    /// What has more colours than BT.709, at ordinary dynamic range, and can be brought to that: with alpha, which libzimg does not
    /// flatten, its colours are taken for those of BT.709.
    pub(super) fn wide_gamut(&self) -> Option<&'static str> {
        match self.colour.primaries {
            _ if self.is_hdr() || self.format.alpha || !has_zscale() => None,
            PRIMARIES_BT2020 => Some("BT.2020"),
            11 => Some("DCI-P3"),
            12 => Some("Display P3"),
            _ => None,
        }
    }

    /// The name of the primaries of wide colours for the `zscale` filter.
    fn primaries(&self) -> &'static str {
        match self.colour.primaries {
            11 => "smpte431",
            12 => "smpte432",
            _ => "bt2020",
        }
    }

    /// The name of the transfer for the `zscale` filter, and that of what wide colours are brought to. sRGB's stays as it is, as
    /// it does where no colours are mapped.
    fn transfers(&self) -> (&'static str, &'static str) {
        match self.colour.transfer {
            TRANSFER_PQ => ("smpte2084", "bt709"),
            TRANSFER_HLG => ("arib-std-b67", "bt709"),
            TRANSFER_SRGB => ("iec61966-2-1", "iec61966-2-1"),
            _ => ("bt2020-10", "bt709"),
        }
    }

    /// The names of the matrix for the filters `scale`, if it knows it, and `zscale`. Without a tag: BT.709 for high
    /// definition, BT.601 below, as players do.
    fn matrix(&self) -> (Option<&'static str>, &'static str) {
        match self.colour.matrix {
            1 => (Some("bt709"), "709"),
            4 => (Some("fcc"), "fcc"),
            5 | 6 => (Some("bt601"), "170m"),
            // `zscale` spells this one differently from version to version.
            7 => (Some("smpte240m"), "7"),
            8 => (None, "ycgco"),
            9 | 10 => (Some("bt2020"), "2020_ncl"),
            _ if self.width >= 1280 || self.height > 576 => (Some("bt709"), "709"),
            _ => (Some("bt601"), "170m"),
        }
    }

    /// The name of the range for the `scale` filter.
    fn range(&self) -> &'static str {
        match self.colour.range {
            2 => "pc",
            1 => "tv",
            _ if self.format.full_range || self.format.rgb => "pc",
            _ => "tv",
        }
    }

    /// The same for the `zscale` filter.
    fn zscale_range(&self) -> &'static str {
        match self.range() {
            "pc" => "full",
            _ => "limited",
        }
    }

    /// Matrix, transfer, primaries and range of wide colours as the `zscale` filter spells them.
    fn zscale_input(&self) -> String {
        let (primaries, transfer) = (self.primaries(), self.transfers().0);
        let range = self.zscale_range();
        if self.format.rgb {
            return format!("min=gbr:pin={primaries}:tin={transfer}:rin=full");
        }
        let matrix = match self.colour.matrix {
            1 => "709",
            5 | 6 => "170m",
            2 if self.colour.primaries != PRIMARIES_BT2020 => self.matrix().1,
            // With the transfers of HDR libzimg knows constant luminance not at all.
            10 if !self.is_hdr() => "2020_cl",
            14 if self.is_hdr() => "ictcp",
            _ => "2020_ncl",
        };
        format!("min={matrix}:pin={primaries}:tin={transfer}:rin={range}")
    }

    /// Whether libzimg takes these pixels as they are, whole samples of colour included.
    fn is_for_zimg(&self) -> bool {
        self.format.zimg.is_some_and(|[across, down]| {
            self.width.is_multiple_of(1 << across) && self.height.is_multiple_of(1 << down)
        })
    }

    /// The filters by which libzimg gets these pixels and what it has to know of them, if it takes them and is there: it
    /// resamples colour exactly, and several times faster than libswscale does at that quality.
    fn zimg_input(&self) -> Option<(String, String)> {
        let (of_scale, matrix) = self.matrix();
        let is_taken = self.is_for_zimg() || (of_scale.is_none() && self.has_matrix());
        if !is_taken || self.format.alpha || !has_zscale() {
            return None;
        }
        let input = format!("min={matrix}:rin={}", self.zscale_range());
        Some((self.before_zimg(), input))
    }

    /// Luma and colour apart.
    fn has_matrix(&self) -> bool {
        !self.format.rgb && !self.format.grey
    }

    /// Where samples of colour lie, for the `scale` filter, which does not look at the tag and would take the middle of their
    /// pixels: on the left one, unless that is what the tag says.
    fn chroma_position(&self) -> &'static str {
        match self.colour.location {
            CHROMA_CENTRE => "",
            _ => ":in_h_chr_pos=0",
        }
    }

    /// The filters that bring pixels which libzimg does not take to some that it takes, range and matrix as they are.
    fn before_zimg(&self) -> String {
        if self.is_for_zimg() || self.format.rgb {
            return String::new();
        }
        let range = self.range();
        format!(
            "scale=flags=bicubic+accurate_rnd+full_chroma_inp:in_range={range}:out_range={range}{},format=yuv444p16,",
            self.chroma_position()
        )
    }

    /// The filter graph that makes `width` x `height` pictures (as displayed), RGB24 or GBRP, of frames that look like this.
    ///
    /// HDR is made linear light with 100 cd/m² as 1, brought to BT.709 primaries and rolled off with the Hable curve;
    /// alpha is flattened over black, by premultiplying and leaving it out.
    pub(super) fn filters(&self, orientation: Orientation, (width, height): (u32, u32)) -> String {
        let (width, height) = orientation.turn((width, height));
        let mut filters = String::new();
        if self.interlaced {
            filters += "bwdif=mode=send_frame:parity=auto:deint=interlaced,";
        }
        if self.is_hdr() {
            filters += &format!(
                "{}zscale=w={width}:h={height}:f=bicubic:{}:p=bt2020:m=gbr:t=linear:npl=100:r=full:{ALONE},format=gbrpf32le,\
                 zscale=p=bt709:{ALONE},tonemap=hable:desat=0,zscale=t=bt709:r=full:{ALONE},format=gbrp",
                self.before_zimg(),
                self.zscale_input()
            );
        } else if self.wide_gamut().is_some() {
            filters += &format!(
                "{}zscale=w={width}:h={height}:f=bicubic:{}:p=bt709:t={}:m=gbr:r=full:{ALONE},format=gbrp",
                self.before_zimg(),
                self.zscale_input(),
                self.transfers().1
            );
        } else if let Some((before, input)) = self.zimg_input() {
            filters += &format!(
                "{before}zscale=w={width}:h={height}:f=bicubic:{input}:m=gbr:r=full:{ALONE},format=gbrp"
            );
        } else {
            let flags = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp";
            filters += &format!("scale=w={width}:h={height}:flags={flags}");
            if self.has_matrix() {
                filters += &format!(
                    ":in_color_matrix={}:in_range={}{}",
                    self.matrix().0.unwrap_or("bt601"),
                    self.range(),
                    self.chroma_position()
                );
            }
            if self.format.alpha {
                filters += ",format=gbrap,premultiply=inplace=1";
            }
            filters += ",format=rgb24";
            // libswscale takes every grey for full range.
            if self.format.grey && !self.format.alpha && self.colour.range == 1 {
                let stretch = "clip((val-16)*255/219\\,0\\,255)";
                filters += &format!(",lutrgb=r={stretch}:g={stretch}:b={stretch}");
            }
        }
        filters + &orientation.filters()
    }
}

/// Whether this FFmpeg has libzimg.
fn has_zscale() -> bool {
    ff::filter::find("zscale").is_some()
}

/// Stored size and pixel aspect to displayed size with square pixels: the shorter side of the pixel grows, so that no
/// detail is lost.
pub(super) fn display_size(
    (width, height): (u32, u32),
    pixel_aspect: Option<(u32, u32)>,
) -> (u32, u32) {
    let Some((num, den)) = pixel_aspect else {
        return (width, height);
    };
    let (num, den) = (f64::from(num), f64::from(den));
    let even = |side: f64| ((side / 2.0).round() as u32 * 2).max(2);
    if num > den {
        (even(f64::from(width) * num / den), height)
    } else {
        (width, even(f64::from(height) * den / num))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: i32 = 1 << 16;

    fn matrix(a: i32, b: i32, c: i32, d: i32) -> [i32; 9] {
        [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    }

    #[test]
    fn the_eight_orientations() {
        let read = |a, b, c, d| {
            let o = Orientation::from_matrix(&matrix(a, b, c, d));
            (o.transpose, o.flip_x, o.flip_y)
        };
        assert_eq!(read(1, 0, 0, 1), (false, false, false));
        assert_eq!(read(-1, 0, 0, 1), (false, true, false));
        assert_eq!(read(1, 0, 0, -1), (false, false, true));
        assert_eq!(read(-1, 0, 0, -1), (false, true, true));
        // A phone held upright: a quarter turn clockwise, (p, q) -> (-q, p).
        assert_eq!(read(0, 1, -1, 0), (true, true, false));
        assert_eq!(read(0, -1, 1, 0), (true, false, true));
        assert_eq!(read(0, 1, 1, 0), (true, false, false));
        assert_eq!(read(0, -1, -1, 0), (true, true, true));
    }

    #[test]
    fn square_pixels_keep_all_detail() {
        assert_eq!(display_size((720, 576), Some((64, 45))), (1024, 576));
        assert_eq!(display_size((720, 480), Some((8, 9))), (720, 540));
        assert_eq!(display_size((641, 359), None), (641, 359));
    }
}
