//! `allaprima train --distil`: a student of the network of 26 styles.

use std::time::Duration;

use allaprima::{
    frame::Picture,
    models::{FINE_PACK, SWIFT_PACK},
    nn::{
        student_file::{NEUTRAL, StudentFile},
        student_net::StudentConfig,
    },
    style::{StyleChoice, StylePack},
    train::{
        Checkpoint, Distillation, Judgement, Photos, Plan, Report, Settings, Shape, Start, State,
        Teacher,
    },
};
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};

use super::{
    Job,
    session::{Session, Trainee, measured, middles},
};
use crate::cli::{optimize::loss_network, sheet, usage};

/// Pictures and styles of the preview.
const PREVIEW: (usize, usize) = (3, 4);

pub fn run(job: &Job<'_>) -> Result<()> {
    let args = job.args;
    let teacher = teacher(&StylePack::load(&job.store)?, &args.styles)?;
    let student = args
        .from
        .as_deref()
        .map(|from| student(job, from, &teacher));
    let student = student.transpose()?;
    let asked = Shape {
        config: StudentConfig {
            width: args.width,
            blocks: usize::from(args.blocks),
            detail: args.detail,
            upsampling: args.upsampling,
            refine: (args.refine > 0).then_some(args.refine),
            entry: usize::from(args.entry),
        },
        styles: teacher.styles.len(),
    };
    let shape = student.as_ref().map_or(asked, |student| Shape {
        config: student.config,
        ..asked
    });
    shape.check().map_err(|reason| usage(anyhow!(reason)))?;
    let checkpoint = args
        .resume
        .then(|| Checkpoint::load(&job.files.checkpoint, &shape))
        .transpose()?;
    if student.is_none() && args.style_weight != 1.0 {
        return Err(usage(anyhow!(
            "--style-weight belongs to --style, or to --distil --from: else a student learns the network's planes, and no looks"
        )));
    }
    let usual = match student {
        Some(_) => Settings::of_strokes(),
        None => Settings {
            start: args.start,
            ..Settings::default()
        },
    };
    if let Some(from) = &checkpoint
        && (from.start == Start::Student) != student.is_some()
    {
        let what = if student.is_some() { "without" } else { "with" };
        return Err(usage(anyhow!(
            "{} belongs to a training {what} --from: give the same options again",
            job.files.checkpoint.display()
        )));
    }
    let settings = Settings {
        seed: checkpoint.as_ref().map_or(args.seed, |from| from.seed),
        start: checkpoint.as_ref().map_or(usual.start, |from| from.start),
        batch: args.batch.map_or(usual.batch, usize::from),
        crop: args.crop,
        rate: args.learning_rate.unwrap_or(usual.rate),
        steadiness: args.steadiness.unwrap_or(usual.steadiness),
        style: usual.style * args.style_weight,
        ..usual
    };
    settings
        .start
        .check(&shape)
        .map_err(|reason| usage(anyhow!(reason)))?;
    let sets = job.photos(settings.crop)?;
    let mut session = job.session()?;
    session.say(&format!(
        "{}, {} styles, {} weights, {} threads",
        sets.counts(),
        shape.styles,
        shape.layers().1,
        job.threads
    ));
    let plan = job.plan(60.0);
    let state = checkpoint
        .map(|checkpoint| checkpoint.state)
        .or_else(|| student.as_ref().map(|file| State::of_student(&shape, file)));
    let photos = Photos::new(sets.photos);
    let mut distillation = Distillation::new(shape, settings, teacher, photos, state)?;
    if student.is_some() {
        let network = loss_network(&job.store)?;
        distillation
            .look_by(&network)
            .map_err(|reason| anyhow!(reason))?;
    }
    let mut training = Training {
        distillation,
        judges: Photos::new(sets.judges.iter().cloned()),
        aside: sets.judges,
        judged_by: sets.judged_by,
        recent: Recent::default(),
        job,
    };
    session.run(&mut training, plan)?;
    session.say(&format!(
        "{} styles → {}",
        shape.styles,
        args.output.display()
    ));
    Ok(())
}

/// The network of 26 styles, all of them or those named, and as the last style the neutral one, if it has one.
fn teacher(pack: &StylePack, only: &[String]) -> Result<Teacher> {
    let mut chosen: Vec<usize> = (0..pack.styles().len()).collect();
    if !only.is_empty() {
        let number = |name: &String| {
            let found = pack.styles().iter().position(|style| style.name == *name);
            found.ok_or_else(|| {
                usage(anyhow!(
                    "there is no style '{name}': see `allaprima styles`"
                ))
            })
        };
        chosen = only.iter().map(number).collect::<Result<_>>()?;
    }
    let names = chosen.iter().map(|n| pack.styles()[*n].name.clone());
    let styles = chosen
        .iter()
        .map(|n| pack.parameters(&StyleChoice::single(*n)));
    let neutral = pack.neutral();
    Ok(Teacher {
        network: pack.network().clone(),
        names: names.chain(neutral.map(|_| NEUTRAL.to_owned())).collect(),
        styles: styles.chain(neutral.cloned()).collect(),
    })
}

/// The student that goes on learning: of all the teacher's styles, in their order.
fn student(job: &Job<'_>, from: &str, teacher: &Teacher) -> Result<StudentFile> {
    let bytes = match from {
        "reference" => {
            return Err(usage(anyhow!(
                "--from reference: with --distil it is a student that goes on learning: swift, fine or a file"
            )));
        }
        "fine" => job.store.read(FINE_PACK)?.into_owned(),
        "swift" => job.store.read(SWIFT_PACK)?.into_owned(),
        file => std::fs::read(file).with_context(|| format!("{file} cannot be read"))?,
    };
    let student = StudentFile::parse(&bytes)
        .map_err(|reason| anyhow!("--from {from} names no student: {reason}"))?;
    if student.styles != teacher.names {
        return Err(usage(anyhow!(
            "--from {from}: its styles ({}) are not those that it is to learn ({}): name the same with --styles",
            student.styles.join(", "),
            teacher.names.join(", ")
        )));
    }
    Ok(student)
}

struct Training<'a> {
    job: &'a Job<'a>,
    distillation: Distillation,
    judges: Photos,
    aside: Vec<Picture>,
    judged_by: &'static str,
    recent: Recent,
}

/// Means of the reports since the last line.
#[derive(Default)]
struct Recent {
    steps: u32,
    total: f64,
    colors: f64,
    flicker: f64,
    hint: f64,
    style: f64,
    rate: f32,
}

impl Recent {
    fn add(&mut self, report: &Report) {
        self.steps += 1;
        self.total += f64::from(report.terms.total);
        self.colors += f64::from(report.terms.colors);
        self.flicker += f64::from(report.flicker);
        self.hint += f64::from(report.hint);
        self.style += f64::from(report.style);
        self.rate = report.rate;
    }
}

impl Trainee for Training<'_> {
    fn done(&self, plan: Plan) -> f32 {
        self.distillation.done(plan)
    }

    fn step(&mut self, plan: Plan) -> Result<()> {
        self.recent.add(&self.distillation.step(plan)?);
        Ok(())
    }

    fn spend(&mut self, time: Duration) {
        self.distillation.spend(time);
    }

    fn line(&mut self) -> (Value, String) {
        let recent = std::mem::take(&mut self.recent);
        let steps = f64::from(recent.steps.max(1));
        let state = self.distillation.state();
        let (loss, difference, flicker) = (
            recent.total / steps,
            recent.colors / steps,
            recent.flicker / steps,
        );
        let entry = json!({
            "step": state.steps,
            "seconds": state.seconds,
            "loss": loss,
            "difference": difference,
            "flicker": flicker,
            "hint": recent.hint / steps,
            "style": recent.style / steps,
            "rate": recent.rate,
        });
        let text = if recent.hint > 0.0 {
            format!("trunk {:.4} off", recent.hint / steps)
        } else if recent.style > 0.0 {
            format!(
                "loss {loss:.4}, style {:.4}, flicker {flicker:.4}",
                recent.style / steps
            )
        } else {
            format!("loss {loss:.4}, difference {difference:.4}, flicker {flicker:.4}")
        };
        (entry, text)
    }

    fn save(&mut self, session: &mut Session, is_last: bool) -> Result<()> {
        let judged = self.distillation.judge(&self.judges)?;
        let state = self.distillation.state().clone();
        let Judgement {
            difference,
            detail,
            flicker,
        } = judged;
        session.note(&json!({
            "step": state.steps,
            "seconds": state.seconds,
            "judged": {"difference": difference, "detail": detail, "flicker": flicker},
        }))?;
        session.say(&format!(
            "step {}: judged by {}: difference {difference:.4}, detail {:.2} {:.2} {:.2}, flicker {flicker:.2} of the teacher's",
            state.steps, self.judged_by, detail[0], detail[1], detail[2],
        ));
        let settings = self.distillation.settings();
        let mut training = json!({
            "seed": settings.seed,
            "steps": state.steps,
            "batch": settings.batch,
            "crop": settings.crop,
            "learning_rate": settings.rate,
            "steadiness": settings.steadiness,
            "difference": difference,
            "detail": detail,
            "flicker": flicker,
        });
        let checkpoint = Checkpoint {
            shape: *self.distillation.shape(),
            seed: settings.seed,
            start: settings.start,
            state,
        };
        checkpoint.save(&session.files.checkpoint)?;
        let names = &self.distillation.teacher().names;
        checkpoint.save_student(&session.files.output, names, &training)?;
        if is_last {
            training["measured"] = self.measure(&session.files.output)?;
            checkpoint.save_student(&session.files.output, names, &training)?;
        }
        session.plot(
            "Difference from the teacher",
            "mean difference, 0..1",
            &[
                ("in training", [150, 170, 200], &["difference"]),
                (
                    &format!("{}, averaged weights", self.judged_by),
                    [190, 60, 40],
                    &["judged", "difference"],
                ),
            ],
        )?;
        self.preview(session)
    }
}

impl Training<'_> {
    /// Speed and flicker of the student that was just written.
    fn measure(&self, path: &std::path::Path) -> Result<Value> {
        let student =
            StudentFile::parse(&std::fs::read(path)?).map_err(|reason| anyhow!(reason))?;
        let network = student.network().map_err(|reason| anyhow!(reason))?;
        let styles = student.parameters().map_err(|reason| anyhow!(reason))?;
        let count = student
            .styles
            .iter()
            .filter(|name| *name != NEUTRAL)
            .count();
        let threads = if self.job.args.no_speed {
            0
        } else {
            self.job.threads
        };
        let painters = (&network, &styles[..count]);
        measured(
            &self.job.store,
            painters,
            &student.styles[..count],
            &self.judges,
            threads,
        )
    }

    /// Rows of student and teacher.
    fn preview(&mut self, session: &Session) -> Result<()> {
        let (pictures, styles) = PREVIEW;
        let count = self.distillation.teacher().styles.len();
        let photos = &self.aside[..self.aside.len().min(pictures)];
        let photos = middles(photos, (480, 320))?;
        let mut tiles = Vec::new();
        for n in 0..styles {
            // Other styles each time, in turn.
            let round = self.distillation.state().steps as usize / 500;
            let style = (n * count / styles + round) % count;
            let photo = &photos[n % photos.len()];
            let (width, height) = (photo.width(), photo.height());
            let name = self.distillation.teacher().names[style].clone();
            let [student, teacher] =
                self.distillation
                    .paint(photo.rgb(), (height, width), style)?;
            tiles.push((
                format!("{name}: student"),
                Picture::new(width, height, student)?,
            ));
            tiles.push((
                format!("{name}: teacher"),
                Picture::new(width, height, teacher)?,
            ));
        }
        let sheet = sheet::compose_rows(&tiles, 2)?;
        sheet::save(sheet, &session.files.preview, true)
    }
}
