//! `allaprima styles`: the list of styles, and a contact sheet of them.

use std::{path::Path, sync::Arc};

use allaprima::{
    device::PaintDevice,
    kernels::Precision,
    models::ModelStore,
    picture_file::{PictureError, PictureFile, writable_format},
    source::Sizing,
    style::{Gallery, StyleChoice, StylePack},
    stylize::{FeedForward, FeedForwardSettings, Stylizer},
};
use anyhow::{Result, anyhow};
use serde::Serialize;
use serde_json::Value;

use super::{
    apart::keep_apart, args::StylesArgs, painter::tell_of_an_early_end, settings::threads, sheet,
    usage,
};

#[derive(Serialize)]
struct Entry<'a> {
    number: usize,
    name: &'a str,
    description: &'a str,
    /// As a part of what the network of 26 styles flickers, where the pack says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    flicker: Option<f64>,
    /// What the pack says of its speed.
    #[serde(skip_serializing_if = "Value::is_null")]
    speed: &'a Value,
}

pub fn run(args: &StylesArgs) -> Result<()> {
    let store = ModelStore::open(args.models.models.as_deref())?;
    let pack = match &args.pack {
        Some(file) => StylePack::open(&store.pack_file(file))?,
        None => StylePack::load(&store)?,
    };
    let gallery = Arc::new(Gallery::of_pack(store, candle_core::Device::Cpu, pack));
    match (&args.sheet, &args.output) {
        (Some(photo), Some(output)) => {
            let mut read = vec![photo.clone()];
            read.extend(args.pack.clone());
            keep_apart(&[("-o", output)], &read)?;
            paint_sheet(&gallery, photo, output, args)?;
            if args.json {
                list(gallery.pack(), true)?;
            }
            Ok(())
        }
        _ => list(gallery.pack(), args.json),
    }
}

fn list(pack: &StylePack, json: bool) -> Result<()> {
    let measured = &pack.training()["measured"];
    let entries: Vec<_> = pack
        .styles()
        .iter()
        .enumerate()
        .map(|(number, style)| Entry {
            number,
            name: &style.name,
            description: &style.description,
            flicker: measured["flicker_of_styles"][&style.name].as_f64(),
            speed: &measured["speed"],
        })
        .collect();
    if json {
        put!("{}", serde_json::to_string_pretty(&entries)?);
        return Ok(());
    }
    let width = entries
        .iter()
        .map(|entry| entry.name.len())
        .max()
        .unwrap_or(0);
    for Entry {
        number,
        name,
        description,
        flicker,
        ..
    } in entries
    {
        let flicker = flicker.map_or(String::new(), |flicker| format!("  (flicker {flicker:.2})"));
        put!("{number:>3}  {name:width$}  {description}{flicker}");
    }
    if let Some(text) = says(measured) {
        put!("{text}");
    }
    Ok(())
}

/// What a pack says of its speed and steadiness, in one line.
fn says(measured: &Value) -> Option<String> {
    let speed = &measured["speed"];
    let text = |key: &str| speed[key].as_str().unwrap_or("?");
    let speed = speed["ms"].as_f64().map(|millis| {
        format!(
            "paints {} in {millis:.1} ms on {} threads ({}, {}, {})",
            text("size"),
            speed["threads"],
            text("precision"),
            text("instructions"),
            text("processor"),
        )
    });
    let flicker = measured["flicker"].as_f64().map(|flicker| {
        format!("flickers {flicker:.2} times as much as the network of 26 styles, before anything steadies it")
    });
    let said: Vec<String> = speed.into_iter().chain(flicker).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

fn paint_sheet(
    gallery: &Arc<Gallery>,
    photo: &Path,
    output: &Path,
    args: &StylesArgs,
) -> Result<()> {
    writable_format(output).map_err(usage)?;
    sheet::check_output(output, args.overwrite)?;
    let original = PictureFile::read(photo, Sizing::MaxSide(args.tile as usize));
    let original = original.map_err(|error| match error {
        PictureError::TooSmall {
            width,
            height,
            suggestion: Some(side),
            ..
        } => anyhow!(
            "{} would be a tile of {width}x{height} pixels, which is too small: use --tile {side} or more",
            photo.display()
        ),
        error => error.into(),
    })?;
    let original = original.picture;
    tell_of_an_early_end(photo);
    let mut tiles = vec![("original".to_owned(), original.clone())];
    for (number, style) in gallery.pack().styles().iter().enumerate() {
        let mut painting = original.clone();
        let settings = FeedForwardSettings {
            style: gallery.mix(&StyleChoice::single(number))?,
            match_colors: false,
            paint_bars: false,
            device: PaintDevice::Cpu,
            threads: threads(None),
            precision: Precision::F32,
        };
        FeedForward::new(gallery.clone(), settings)?.paint(&mut painting)?;
        tiles.push((format!("{number} {}", style.name), painting));
    }
    sheet::save(sheet::compose(&tiles)?, output, args.overwrite)?;
    tell!("{} styles → {}", gallery.styles().len(), output.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pack_says_what_was_measured() {
        let speed = json!({
            "ms": 12.34, "size": "640x360", "threads": 2, "precision": "bf16", "instructions": "avx512",
            "processor": "a processor",
        });
        let text = says(&json!({"speed": speed, "flicker": 0.5})).unwrap();
        assert_eq!(
            text,
            "paints 640x360 in 12.3 ms on 2 threads (bf16, avx512, a processor); flickers 0.50 times as much as the \
             network of 26 styles, before anything steadies it"
        );
        assert!(
            says(&json!({"flicker": 0.5}))
                .unwrap()
                .starts_with("flickers")
        );
        assert_eq!(says(&Value::Null), None);
    }
}
