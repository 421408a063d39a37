//! What is meant: values checked, names resolved, each error naming the option.

use std::{num::NonZero, str::FromStr, thread::available_parallelism};

use allaprima::{
    source::Sizing,
    style::PackQuality,
    stylize::{BRUSHES, optimize::Quality},
};

/// The style that is painted when none is named.
pub const DEFAULT_STYLE: &str = "starry";

/// The largest side that the options take, in pixels.
const LARGEST_SIDE: usize = 16_384;

/// `640x360`.
pub fn parse_size(text: &str) -> Result<Sizing, String> {
    let (width, height) = text
        .split_once(['x', 'X'])
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)))
        .ok_or("write it as WIDTHxHEIGHT in pixels, such as 640x360")?;
    check_side(width)?;
    check_side(height)?;
    Ok(Sizing::Exact { width, height })
}

/// A longest side in pixels.
pub fn parse_max_size(text: &str) -> Result<Sizing, String> {
    let side = text
        .parse()
        .map_err(|_| "write a number of pixels, such as 1280")?;
    check_side(side)?;
    Ok(Sizing::MaxSide(side))
}

fn check_side(side: usize) -> Result<(), String> {
    let range = allaprima::stylize::MIN_SIDE..=LARGEST_SIDE;
    if range.contains(&side) {
        return Ok(());
    }
    Err(format!(
        "{side} pixels are out of range: a side has {} to {LARGEST_SIDE} pixels",
        range.start()
    ))
}

/// A number of threads.
pub fn parse_threads(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=256).contains(n))
        .ok_or_else(|| "write a number from 1 to 256".into())
}

/// What `--steady` says: a strength, or nothing for off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SteadyChoice(pub Option<f32>);

/// `off`, or a strength of 0 to 1; a strength of 0 changes nothing and so is off.
pub fn parse_steady(text: &str) -> Result<SteadyChoice, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(SteadyChoice(None));
    }
    text.parse()
        .ok()
        .filter(|strength| (0.0..=1.0).contains(strength))
        .map(|strength| SteadyChoice((strength > 0.0).then_some(strength)))
        .ok_or_else(|| "write a number from 0 (as painted) to 1 (steadiest), or off".into())
}

/// The longest time that can be asked for, in seconds: thirty years, which no clock here overflows by.
const LONGEST_TIME: f64 = 1e9;

/// Seconds, `MM:SS` or `HH:MM:SS`, each with decimals if wanted.
pub fn parse_time(text: &str) -> Result<f64, String> {
    let bad = || "write seconds (12.5) or [HH:]MM:SS (1:02:03.5)".to_owned();
    let parts: Vec<&str> = text.split(':').collect();
    if parts.len() > 3 {
        return Err(bad());
    }
    let last = parts.len() - 1;
    let seconds = parts.iter().enumerate().try_fold(0.0, |sum, (i, part)| {
        let well_formed = !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_digit() || (i == last && c == '.'));
        let value: f64 = part.parse().ok().filter(|_| well_formed).ok_or_else(bad)?;
        if i > 0 && value >= 60.0 {
            return Err(bad());
        }
        Ok(sum * 60.0 + value)
    })?;
    if seconds > LONGEST_TIME {
        return Err(format!("it must be at most {LONGEST_TIME} seconds"));
    }
    Ok(seconds)
}

/// As [`parse_time`], above zero.
pub fn parse_duration(text: &str) -> Result<f64, String> {
    match parse_time(text)? {
        seconds if seconds > 0.0 => Ok(seconds),
        _ => Err("it must be above 0".into()),
    }
}

/// Frames per second.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate| (1.0..=240.0).contains(rate))
        .ok_or_else(|| "write a number from 1 to 240".into())
}

/// Threads to use: as asked, else one per core.
pub fn threads(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| available_parallelism().map_or(1, NonZero::get))
}

/// A strength of the style.
pub fn parse_strength(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|strength| (0.0..=1.0).contains(strength))
        .ok_or_else(|| "write a number from 0 (the picture as it is) to 1 (the style)".into())
}

/// A breadth of the brush.
pub fn parse_brush(text: &str) -> Result<f32, String> {
    text.parse()
        .ok()
        .filter(|breadth| BRUSHES.contains(breadth))
        .ok_or_else(|| {
            format!(
                "write a number from {} (half as broad) to {}",
                BRUSHES.start(),
                BRUSHES.end()
            )
        })
}

/// `0:starry,10:ink`, or with blends `0:starry:0.6,ink:0.4;10:ink`: seconds and styles.
pub fn parse_style_at(text: &str) -> Result<Vec<(f64, &str)>, String> {
    let separator = if text.contains(';') { ';' } else { ',' };
    let entries = text.split(separator).map(|entry| {
        let (time, style) = entry
            .split_once(':')
            .ok_or_else(|| format!("--style-at: '{entry}' is not written as SECOND:STYLE"))?;
        let seconds = time
            .trim()
            .parse()
            .ok()
            .filter(|s: &f64| s.is_finite() && *s >= 0.0)
            .ok_or_else(|| format!("--style-at: '{time}' is not a number of seconds"))?;
        // Hours, minutes and seconds.
        let parts: Vec<_> = style.splitn(3, ':').map(str::trim).collect();
        if let (Ok(hours), [minutes, second, _]) = (time.trim().parse::<u32>(), &parts[..])
            && let (Ok(minutes), Ok(second)) = (minutes.parse::<u32>(), second.parse::<u32>())
        {
            return Err(format!(
                "--style-at: write the time in seconds: {} for {time}:{}:{}",
                3600 * u64::from(hours) + 60 * u64::from(minutes) + u64::from(second),
                parts[0],
                parts[1]
            ));
        }
        // A number and a name behind it are no style with its weight, but a clock's minutes and seconds.
        if let Some((second, name)) = style.split_once(':')
            && let (Ok(minutes), Ok(second)) = (time.trim().parse::<u32>(), second.parse::<u32>())
            && name
                .split(',')
                .next()
                .is_some_and(|first| first.trim().parse::<f32>().is_err())
        {
            return Err(format!(
                "--style-at: write the time in seconds: {} for {time}:{second}",
                60 * u64::from(minutes) + u64::from(second)
            ));
        }
        Ok((seconds, style.trim()))
    });
    entries.collect()
}

/// What `--quality` says, which each engine understands in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QualityChoice {
    /// What suits.
    Auto,
    /// A network of --engine fast.
    Pack(PackQuality),
    /// Work of --engine optimize.
    Work(Quality),
}

impl FromStr for QualityChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let work = || text.parse().map(Self::Work).map_err(|_| ());
        text.parse().map(Self::Pack).or_else(|_| work()).map_err(|()| {
            format!(
                "'{text}' is no quality: use auto, swift, fine or reference, with --engine optimize draft, good or best"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(
            parse_size("640x360"),
            Ok(Sizing::Exact {
                width: 640,
                height: 360
            })
        );
        assert_eq!(parse_max_size("1280"), Ok(Sizing::MaxSide(1280)));
        for bad in [
            "",
            "640",
            "x",
            "640x",
            "-1x5",
            "640x31",
            "99999x360",
            "640x360x2",
        ] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
        assert!(parse_max_size("31").unwrap_err().contains("32"));
    }

    #[test]
    fn times() {
        assert_eq!(parse_time("12.5"), Ok(12.5));
        assert_eq!(parse_time("1:02"), Ok(62.0));
        assert_eq!(parse_time("1:02:03.5"), Ok(3723.5));
        for bad in [
            "", "-1", "1:60", "a", "1:2:3:4", "1.5:00", "inf", "nan", "1e3",
        ] {
            assert!(parse_time(bad).is_err(), "{bad:?}");
        }
        assert!(parse_duration("0").is_err());
        assert_eq!(parse_duration("0.5"), Ok(0.5));
    }

    #[test]
    fn rates() {
        assert_eq!(parse_rate("12.5"), Ok(12.5));
        for bad in ["0", "-1", "nan", "inf", "1000", ""] {
            assert!(parse_rate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn steadiness() {
        assert_eq!(parse_steady("off"), Ok(SteadyChoice(None)));
        assert_eq!(parse_steady("0"), Ok(SteadyChoice(None)));
        assert_eq!(parse_steady("0.5"), Ok(SteadyChoice(Some(0.5))));
        for bad in ["", "on", "-0.1", "1.01", "nan", "inf"] {
            assert!(parse_steady(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn styles_over_time() {
        assert_eq!(
            parse_style_at("0:starry, 10.5:a.jpg"),
            Ok(vec![(0.0, "starry"), (10.5, "a.jpg")])
        );
        assert_eq!(
            parse_style_at("0:starry:0.6,7:0.4;2:7"),
            Ok(vec![(0.0, "starry:0.6,7:0.4"), (2.0, "7")])
        );
        for bad in [
            "",
            "starry",
            "0:starry,wave",
            "-1:wave",
            "x:wave",
            "nan:wave",
        ] {
            assert!(parse_style_at(bad).is_err(), "{bad:?}");
        }
        for style in ["7:0.4", "7:0.6,starry:0.4", "7:0.6,8:0.4"] {
            assert_eq!(
                parse_style_at(&format!("2:{style};9:7")),
                Ok(vec![(2.0, style), (9.0, "7")])
            );
        }
        let clock = parse_style_at("0:starry,1:30:wave").unwrap_err();
        assert!(clock.ends_with("90 for 1:30"), "{clock}");
        let clock = parse_style_at("0:starry,1:02:03:wave").unwrap_err();
        assert!(clock.ends_with("3723 for 1:02:03"), "{clock}");
    }

    #[test]
    fn strengths_and_brushes() {
        assert_eq!(
            (parse_strength("0.5"), parse_brush("4")),
            (Ok(0.5), Ok(4.0))
        );
        for bad in ["", "-0.1", "nan", "many", "9"] {
            assert!(
                parse_strength(bad).is_err() && parse_brush(bad).is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn thread_counts() {
        assert_eq!(parse_threads("3"), Ok(3));
        assert!(parse_threads("0").is_err());
        assert!(parse_threads("many").is_err());
    }
}
