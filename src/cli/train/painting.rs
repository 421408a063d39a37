//! `allaprima train --style`: a style out of a picture, for a network that stays as it is.

use std::{path::Path, time::Duration};

use allaprima::{
    frame::Picture,
    kernels::{StyleParameters, TransformConfig, TransformEngine, TransformWeights},
    models::{FINE_PACK, ModelStore, SWIFT_PACK},
    nn::student_file::NEUTRAL,
    picture_file::PictureFile,
    style::{AnyPicture, PackFile, StylePack},
    train::{Photos, Plan, State, StyleReport, StyleSettings, StyleTraining, replace_file},
};
use anyhow::{Context, Result, anyhow, bail};
use candle_core::Device;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Job,
    session::{Session, Trainee, measured, middles},
};
use crate::cli::{optimize::loss_network, painter::tell_of_an_early_end, sheet, usage};

/// Photos per style in the preview, and rows at most.
const PREVIEW: (usize, usize) = (2, 8);
/// Minutes per style.
const MINUTES: f64 = 6.0;

pub fn run(job: &Job<'_>) -> Result<()> {
    let args = job.args;
    let pack = source(job)?;
    let models = args.style.iter().map(|path| -> Result<Picture> {
        let file = PictureFile::read_style(path).context("this style picture cannot be used")?;
        if file
            .alpha
            .is_some_and(|alpha| alpha.iter().all(|&a| a == 0))
        {
            bail!(
                "{} is wholly transparent: there is no style in it",
                path.display()
            );
        }
        tell_of_an_early_end(path);
        Ok(file.picture)
    });
    let models = models.collect::<Result<Vec<_>>>()?;
    let names = names(&args.style, &args.name)?;
    let kept = kept(&pack, args.keep_styles, &names)?;
    let describe = |path: &Path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        format!("learned from {file}")
    };
    let descriptions: Map<String, Value> = descriptions(&job.store, &pack, &kept)
        .chain(
            names
                .iter()
                .cloned()
                .zip(args.style.iter().map(|path| describe(path).into())),
        )
        .collect();
    let mut settings = StyleSettings {
        seed: args.seed,
        crop: args.crop,
        brush: args.brush,
        ..StyleSettings::default()
    };
    settings.batch = args.batch.map_or(settings.batch, usize::from);
    settings.rate = args.learning_rate.unwrap_or(settings.rate);
    settings.steadiness = args.steadiness.unwrap_or(settings.steadiness);
    settings.losses.style *= args.style_weight;
    let config = config(&pack, &names, &models, args.brush, args.style_weight)?;
    let network = pack.network().map_err(|reason| anyhow!(reason))?;
    let numbers = 2 * network.shape().style_channels();
    let state = args
        .resume
        .then(|| State::load(&job.files.checkpoint, &config, models.len() * numbers))
        .transpose()?
        .map(|(state, seed, _)| {
            settings.seed = seed;
            state
        });
    let sets = job.photos(settings.crop)?;
    let known = known(&pack)?;
    let mut session = job.session()?;
    session.say(&format!(
        "{}, {} new styles of {numbers} numbers, {} threads",
        sets.counts(),
        models.len(),
        job.threads
    ));
    let known_styles: Vec<_> = known.iter().map(|(_, style)| style.clone()).collect();
    let training = StyleTraining::new(
        &network,
        &known_styles,
        &loss_network(&job.store)?,
        &models,
        Photos::new(sets.photos),
        settings,
        state,
    )
    .map_err(|reason| anyhow!("this network takes no new styles: {reason}"))?;
    for (name, start) in names.iter().zip(training.starts()) {
        let parts = start
            .styles
            .iter()
            .map(|(n, share)| (known[*n].0.clone(), (*share).into()));
        let parts: Map<String, Value> = parts.collect();
        session.say(&format!(
            "{name} starts from {} with a loss of {:.3}",
            parts.keys().cloned().collect::<Vec<_>>().join(" and "),
            start.loss
        ));
        session.note(&json!({"style": name, "start": parts, "loss": start.loss}))?;
    }
    let plan = job.plan(MINUTES * models.len() as f64);
    let mut apprentice = Apprentice {
        job,
        pack,
        network,
        config,
        training,
        models,
        names,
        kept,
        descriptions,
        judges: Photos::new(sets.judges.iter().cloned()),
        aside: sets.judges,
        judged_by: sets.judged_by,
        recent: Recent::default(),
    };
    session.run(&mut apprentice, plan)?;
    session.say(&format!(
        "{} → {}",
        apprentice.names.join(", "),
        args.output.display()
    ));
    Ok(())
}

/// The pack whose network learns the styles.
fn source(job: &Job<'_>) -> Result<PackFile> {
    let store = &job.store;
    let shipped = |file: &str| -> Result<PackFile> {
        let bytes = store.read(file)?;
        PackFile::parse(&bytes).map_err(|reason| anyhow!("model file {file}: {reason}"))
    };
    let reference = || -> Result<PackFile> { Ok(PackFile::of_reference(&StylePack::load(store)?)) };
    match job.args.from.as_deref() {
        None if store.has(FINE_PACK) => shipped(FINE_PACK),
        None if store.has(SWIFT_PACK) => shipped(SWIFT_PACK),
        None | Some("reference") => reference(),
        Some("fine") if store.has(FINE_PACK) => shipped(FINE_PACK),
        Some("swift") if store.has(SWIFT_PACK) => shipped(SWIFT_PACK),
        Some(name @ ("fine" | "swift")) => Err(usage(anyhow!(
            "--from {name}: there is no such pack among the models (a pack of your own is named by its file)"
        ))),
        Some(file) => {
            let path = Path::new(file);
            let bytes = std::fs::read(path)
                .with_context(|| format!("the style pack {file} cannot be read"))?;
            PackFile::parse(&bytes).map_err(|reason| anyhow!("{file} is no style pack: {reason}"))
        }
    }
}

/// What the new styles are called: as asked for, or as the pictures' files.
fn names(pictures: &[std::path::PathBuf], asked: &[String]) -> Result<Vec<String>> {
    if asked.len() > pictures.len() {
        return Err(usage(anyhow!(
            "there are {} --name for {} --style: give one name to each, in the same order",
            asked.len(),
            pictures.len()
        )));
    }
    let mut names: Vec<String> = Vec::new();
    for (n, picture) in pictures.iter().enumerate() {
        let name = match asked.get(n) {
            Some(name) => name.clone(),
            None => from_file(picture),
        };
        let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(plain) || name.chars().all(|c| c.is_ascii_digit()) {
            return Err(usage(anyhow!(
                "'{name}' is no name of a style: use --name with letters, digits, '-' and '_', not digits only"
            )));
        }
        if name == NEUTRAL || names.contains(&name) {
            return Err(usage(anyhow!(
                "'{name}' cannot be the name of {}: it is taken (use --name)",
                picture.display()
            )));
        }
        names.push(name);
    }
    Ok(names)
}

/// `Night Café.jpg` is `night-café`.
fn from_file(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let plain = stem.chars().flat_map(char::to_lowercase);
    let plain: String = plain
        .map(|c| if c.is_alphanumeric() { c } else { '-' })
        .collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    parts.join("-")
}

/// The styles that a pack has, but for the neutral one.
fn known(pack: &PackFile) -> Result<Vec<(String, StyleParameters)>> {
    let rows = pack.parameters().map_err(|reason| anyhow!(reason))?;
    let styles = pack.styles().iter().cloned().zip(rows);
    Ok(styles.filter(|(name, _)| name != NEUTRAL).collect())
}

/// The styles of the pack that stand behind the new ones: those that were there if they are wanted, and the neutral one.
fn kept(pack: &PackFile, all: bool, new: &[String]) -> Result<Vec<(String, StyleParameters)>> {
    let rows = pack.parameters().map_err(|reason| anyhow!(reason))?;
    let styles = pack.styles().iter().cloned().zip(rows);
    let kept: Vec<_> = styles.filter(|(name, _)| all || name == NEUTRAL).collect();
    if let Some((name, _)) = kept.iter().find(|(name, _)| new.contains(name)) {
        return Err(usage(anyhow!(
            "the network has a style '{name}' already: call the new one otherwise with --name"
        )));
    }
    Ok(kept)
}

/// What is known of the styles that are kept.
fn descriptions(
    store: &ModelStore,
    pack: &PackFile,
    kept: &[(String, StyleParameters)],
) -> impl Iterator<Item = (String, Value)> {
    let told = pack.training()["descriptions"].clone();
    let shipped = store.manifest().styles.list.clone();
    let names: Vec<String> = kept.iter().map(|(name, _)| name.clone()).collect();
    names.into_iter().filter_map(move |name| {
        let known = || shipped.iter().find(|style| style.name == name);
        let text = match told.get(&name) {
            Some(text) => text.clone(),
            None => known()?.description.clone().into(),
        };
        Some((name, text))
    })
}

/// What a checkpoint belongs to.
fn config(
    pack: &PackFile,
    names: &[String],
    models: &[Picture],
    brush: f32,
    style_weight: f32,
) -> Result<Value> {
    let digest = |bytes: &[u8]| {
        let digest = Sha256::digest(bytes);
        digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let network = pack.to_bytes().map_err(|reason| anyhow!(reason))?;
    let pictures: Vec<String> = models.iter().map(|model| digest(model.rgb())).collect();
    Ok(json!({
        "styles_of_pictures": names,
        "pictures": pictures,
        "network": digest(&network),
        "brush": brush,
        "style_weight": style_weight,
    }))
}

/// A training on its way.
struct Apprentice<'a> {
    job: &'a Job<'a>,
    pack: PackFile,
    network: TransformWeights,
    config: Value,
    training: StyleTraining,
    models: Vec<Picture>,
    names: Vec<String>,
    kept: Vec<(String, StyleParameters)>,
    descriptions: Map<String, Value>,
    judges: Photos,
    aside: Vec<Picture>,
    judged_by: &'static str,
    recent: Recent,
}

/// Sums of the reports since the last line.
#[derive(Default)]
struct Recent {
    steps: u32,
    sum: StyleReport,
}

impl Trainee for Apprentice<'_> {
    fn done(&self, plan: Plan) -> f32 {
        plan.done(self.training.state())
    }

    fn step(&mut self, plan: Plan) -> Result<()> {
        let report = self.training.step(plan);
        let sum = &mut self.recent.sum;
        self.recent.steps += 1;
        sum.total += report.total;
        sum.content += report.content;
        sum.style += report.style;
        sum.flicker += report.flicker;
        sum.rate = report.rate;
        Ok(())
    }

    fn spend(&mut self, time: Duration) {
        self.training.spend(time);
    }

    fn line(&mut self) -> (Value, String) {
        let Recent { steps, sum } = std::mem::take(&mut self.recent);
        let mean = |sum: f32| sum / steps.max(1) as f32;
        let state = self.training.state();
        let (loss, content, style) = (mean(sum.total), mean(sum.content), mean(sum.style));
        let entry = json!({
            "step": state.steps,
            "seconds": state.seconds,
            "loss": loss,
            "content": content,
            "style": style,
            "flicker": mean(sum.flicker),
            "rate": sum.rate,
        });
        let text = format!(
            "loss {loss:.3} (content {content:.3}, style {style:.3}), flicker {:.4}",
            mean(sum.flicker)
        );
        (entry, text)
    }

    fn save(&mut self, session: &mut Session, is_last: bool) -> Result<()> {
        let reports = self.training.judge(&self.judges);
        let state = self.training.state().clone();
        let mean = |part: fn(&StyleReport) -> f32| {
            reports.iter().map(part).sum::<f32>() / reports.len() as f32
        };
        let each = |part: fn(&StyleReport) -> f32| -> Map<String, Value> {
            let values = reports.iter().map(|report| part(report).into());
            self.names.iter().cloned().zip(values).collect()
        };
        session.note(&json!({
            "step": state.steps,
            "seconds": state.seconds,
            "judged": {
                "loss": mean(|report| report.total),
                "losses": each(|report| report.total),
                "content": each(|report| report.content),
                "style": each(|report| report.style),
                "flicker": each(|report| report.flicker),
            },
        }))?;
        for (name, report) in self.names.iter().zip(&reports) {
            session.say(&format!(
                "step {}: {name}, judged by {}: loss {:.3} (content {:.3}, style {:.3}), flicker {:.4}",
                state.steps,
                self.judged_by,
                report.total,
                report.content,
                report.style,
                report.flicker
            ));
        }
        let settings = self.training.settings();
        state.save(
            &session.files.checkpoint,
            &self.config,
            (settings.seed, "nearest"),
        )?;
        let mut note = json!({
            "seed": settings.seed,
            "steps": state.steps,
            "batch": settings.batch,
            "crop": settings.crop,
            "learning_rate": settings.rate,
            "steadiness": settings.steadiness,
            "brush": settings.brush,
            "style_weight": self.job.args.style_weight,
            "losses": each(|report| report.total),
            "descriptions": self.descriptions,
        });
        let styles = self.training.styles();
        let new = self.names.iter().cloned().zip(styles.iter().cloned());
        let rows: Vec<_> = new.chain(self.kept.iter().cloned()).collect();
        if is_last {
            let threads = if self.job.args.no_speed {
                0
            } else {
                self.job.threads
            };
            let offered = rows.iter().filter(|(name, _)| name != NEUTRAL).cloned();
            let (names, offered): (Vec<_>, Vec<_>) = offered.unzip();
            let painters = (&self.network, &offered[..]);
            note["measured"] = measured(&self.job.store, painters, &names, &self.judges, threads)?;
        }
        self.pack.set_styles(rows);
        self.pack.set_training(note);
        let bytes = self.pack.to_bytes().map_err(|reason| anyhow!(reason))?;
        replace_file(&session.files.output, &bytes)?;
        session.plot(
            "Loss of the new styles",
            "content, style, variation and flicker, weighted",
            &[
                ("in training", [150, 170, 200], &["loss"]),
                (
                    &format!("{}, averaged styles", self.judged_by),
                    [190, 60, 40],
                    &["judged", "loss"],
                ),
            ],
        )?;
        self.preview(session, &styles)
    }
}

impl Apprentice<'_> {
    /// Rows of photo, painting, and what the any-picture network makes of the same two pictures.
    fn preview(&self, session: &Session, styles: &[StyleParameters]) -> Result<()> {
        let (each, rows) = PREVIEW;
        let each = each.min((rows / styles.len()).max(1));
        let photos = middles(&self.aside[..self.aside.len().min(each)], (480, 320))?;
        let any = AnyPicture::load(&self.job.store, &Device::Cpu)?;
        let config = TransformConfig {
            threads: self.job.threads,
            ..TransformConfig::default()
        };
        let mut engine = TransformEngine::new(&self.network, config)?;
        let mut other = TransformEngine::new(any.network(), config)?;
        let mut tiles = Vec::new();
        for ((name, style), model) in self.names.iter().zip(styles).zip(&self.models) {
            engine.set_style(style)?;
            other.set_style(&any.parameters(&any.numbers(model)?))?;
            for photo in &photos {
                let (width, height) = (photo.width(), photo.height());
                let paint = |engine: &mut TransformEngine| {
                    let mut painted = vec![0; photo.rgb().len()];
                    engine.paint(photo.rgb(), width, height, &mut painted)?;
                    Ok::<_, anyhow::Error>(Picture::new(width, height, painted)?)
                };
                tiles.push(("photo".to_owned(), photo.clone()));
                tiles.push((name.clone(), paint(&mut engine)?));
                tiles.push(("any-picture network".to_owned(), paint(&mut other)?));
            }
        }
        let sheet = sheet::compose_rows(&tiles, 3)?;
        sheet::save(sheet, &session.files.preview, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files_or_as_asked_for() {
        assert_eq!(from_file(Path::new("a/Night_Café (2).jpg")), "night-café-2");
        let pictures = ["a/cafe.jpg", "b/cafe.jpg"].map(std::path::PathBuf::from);
        assert!(
            names(&pictures, &[])
                .unwrap_err()
                .to_string()
                .contains("taken")
        );
        let asked = ["one".to_owned()];
        assert_eq!(names(&pictures, &asked).unwrap(), ["one", "cafe"]);
        for name in ["", "12", "a:b", "a,b", NEUTRAL] {
            assert!(names(&pictures[..1], &[name.to_owned()]).is_err(), "{name}");
        }
        assert!(names(&pictures[..1], &["a".into(), "b".into()]).is_err());
    }
}
