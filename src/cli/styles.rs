//! `allaprima styles`: the list of styles, and a contact sheet of them.

use std::{path::Path, sync::Arc};

use allaprima::{
    kernels::Precision,
    models::ModelStore,
    picture_file::{PictureFile, writable_format},
    source::Sizing,
    style::{Gallery, StyleChoice, StylePack},
    stylize::{FeedForward, FeedForwardSettings, Stylizer},
};
use anyhow::{Result, bail};
use candle_core::Device;
use serde::Serialize;

use super::{args::StylesArgs, settings::threads, sheet, usage};

#[derive(Serialize)]
struct Entry<'a> {
    number: usize,
    name: &'a str,
    description: &'a str,
}

pub fn run(args: &StylesArgs) -> Result<()> {
    let store = ModelStore::open(args.models.models.as_deref())?;
    let pack = match &args.pack {
        Some(file) => StylePack::open(file)?,
        None => StylePack::load(&store)?,
    };
    let gallery = Arc::new(Gallery::of_pack(store, Device::Cpu, pack));
    match (&args.sheet, &args.output) {
        (Some(photo), Some(output)) => paint_sheet(&gallery, photo, output, args),
        _ => list(gallery.pack(), args.json),
    }
}

fn list(pack: &StylePack, json: bool) -> Result<()> {
    let entries: Vec<_> = pack
        .styles()
        .iter()
        .enumerate()
        .map(|(number, style)| Entry {
            number,
            name: &style.name,
            description: &style.description,
        })
        .collect();
    if json {
        println!("{}", serde_json::to_string_pretty(&entries)?);
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
    } in entries
    {
        println!("{number:>3}  {name:width$}  {description}");
    }
    Ok(())
}

fn paint_sheet(
    gallery: &Arc<Gallery>,
    photo: &Path,
    output: &Path,
    args: &StylesArgs,
) -> Result<()> {
    writable_format(output).map_err(usage)?;
    if output.exists() && !args.overwrite {
        bail!("{} exists: use --overwrite to replace it", output.display());
    }
    let original = PictureFile::read(photo, Sizing::MaxSide(args.tile as usize))?.picture;
    let mut tiles = vec![("original".to_owned(), original.clone())];
    for (number, style) in gallery.pack().styles().iter().enumerate() {
        let mut painting = original.clone();
        let settings = FeedForwardSettings {
            style: gallery.mix(&StyleChoice::single(number))?,
            match_colors: false,
            device: Device::Cpu,
            threads: threads(None),
            precision: Precision::F32,
        };
        FeedForward::new(gallery.clone(), settings)?.paint(&mut painting)?;
        tiles.push((format!("{number} {}", style.name), painting));
    }
    sheet::save(sheet::compose(&tiles)?, output, args.overwrite)?;
    eprintln!("{} styles → {}", gallery.styles().len(), output.display());
    Ok(())
}
