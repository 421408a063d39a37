//! A training's state in a file, and the network that it has made so far in another.
//!
//! Both are safetensors files. They are written here rather than by its crate because that one puts the header's entries in
//! an order that changes from run to run, and the same training shall give the same file.

use super::adam::State;
use super::network::Shape;
use super::start::Start;
use crate::files::temporary_beside;
use crate::kernels::KernelError;
use crate::nn::student_file::StudentFile;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What can go wrong around a training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A checkpoint cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A checkpoint holds something else than this training needs.
    #[error("{}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The teacher cannot paint.
    #[error("the teacher cannot paint")]
    Teacher(#[from] KernelError),
}

/// A state and what it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What the student looks like.
    pub shape: Shape,
    /// The seed it was started with.
    pub seed: u64,
    /// What it was started from.
    pub start: Start,
    /// Weights and what the optimizer remembers.
    pub state: State,
}

/// What a checkpoint says it is.
const CHECKPOINT: &str = "allaprima-training-1";
const TENSORS: [&str; 4] = ["parameters", "average", "mean", "square"];
/// What is done about a checkpoint that cannot be gone on with.
const ANEW: &str = "begin anew with --overwrite instead of --resume, or give another -o";
/// More steps than any training makes: what is counted with them is far from the end of a `u64`.
const MOST_STEPS: u64 = 1 << 40;
/// Three centuries.
const MOST_SECONDS: f64 = 1e10;

impl State {
    /// A state before the first step, of the student in a file.
    ///
    /// # Panics
    /// When the file has another shape, or other tensors than it says.
    pub fn of_student(shape: &Shape, file: &StudentFile) -> Self {
        assert_eq!(
            (shape.config, shape.styles),
            (file.config, file.styles.len())
        );
        let (layers, length) = shape.layers();
        let mut values = vec![0.0; length];
        for layer in layers {
            let of = |kind: &str| &file.tensors[&format!("{}.{kind}", layer.name)];
            let (inputs, taps, normed) = (layer.channels.0, layer.taps, layer.normed);
            for (at, value) in of("weight").iter().enumerate() {
                let (output, input, tap) = (at / taps / inputs, at / taps % inputs, at % taps);
                values[layer.weight(output, input, tap)] = *value;
            }
            for (at, (scale, shift)) in of("scale").iter().zip(of("shift")).enumerate() {
                let own = layer.norm(at / normed, at % normed);
                (values[own.0], values[own.1]) = (*scale, *shift);
            }
        }
        Self::new(values)
    }

    /// Writes the state and the `seed` of a training: under another name first, then renamed, so that there is always a
    /// whole file. `config` says what is trained, `start` what it was started from.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(
        &self,
        path: &Path,
        config: &Value,
        (seed, start): (u64, &str),
    ) -> Result<(), TrainError> {
        let values = [&self.parameters, &self.average, &self.mean, &self.square];
        let tensors = TENSORS
            .iter()
            .zip(values)
            .map(|(name, values)| ((*name).to_owned(), vec![values.len()], values.clone()))
            .collect::<Vec<_>>();
        let metadata = [
            ("format", CHECKPOINT.to_owned()),
            ("config", config.to_string()),
            ("seed", seed.to_string()),
            ("start", start.to_owned()),
            ("steps", self.steps.to_string()),
            ("seconds", self.seconds.to_string()),
        ];
        write(path, &metadata, &tensors)
    }

    /// Reads a state, its seed and what it was started from. `length` is how many parameters are trained.
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or holds no training of what `config` says.
    pub fn load(
        path: &Path,
        config: &Value,
        length: usize,
    ) -> Result<(Self, u64, String), TrainError> {
        let bytes = std::fs::read(path).map_err(|source| TrainError::Read {
            path: path.to_owned(),
            source,
        })?;
        parse(&bytes, config, length).map_err(|reason| TrainError::Content {
            path: path.to_owned(),
            reason,
        })
    }
}

/// As [`State::load`], out of a file's bytes; the error is a sentence that says what to do.
fn parse(bytes: &[u8], config: &Value, length: usize) -> Result<(State, u64, String), String> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let texts = header.metadata().clone().unwrap_or_default();
    let text = |key: &str| texts.get(key).map(String::as_str).unwrap_or_default();
    if text("format") != CHECKPOINT {
        return Err(format!("it is no checkpoint of a training: {ANEW}"));
    }
    let started = serde_json::from_str::<Value>(text("config")).ok();
    if started.as_ref() != Some(config) {
        return Err(format!(
            "it was started with another network or style ({}): give the same options again",
            text("config")
        ));
    }
    let impossible = |key: &str| damaged(format!("its {key} cannot be '{}'", text(key)));
    let steps = text("steps").parse::<u64>().ok();
    let seconds = text("seconds").parse::<f64>().ok();
    let seed = text("seed").parse::<u64>().ok();
    let values = |name: &str| -> Result<Vec<f32>, String> {
        let tensor = file.tensor(name).map_err(damaged)?;
        if tensor.dtype() != Dtype::F32 {
            let dtype = tensor.dtype();
            return Err(damaged(format!("its {name} is {dtype}, not F32")));
        }
        let floats = tensor.data().chunks_exact(4);
        let values = floats
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect::<Vec<f32>>();
        if values.len() != length {
            let count = values.len();
            return Err(damaged(format!(
                "its {name} has {count} numbers where {length} are trained"
            )));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(damaged(format!(
                "its {name} has numbers that are not finite"
            )));
        }
        Ok(values)
    };
    let state = State {
        steps: steps
            .filter(|steps| *steps <= MOST_STEPS)
            .ok_or_else(|| impossible("steps"))?,
        seconds: seconds
            .filter(|seconds| (0.0..=MOST_SECONDS).contains(seconds))
            .ok_or_else(|| impossible("seconds"))?,
        parameters: values("parameters")?,
        average: values("average")?,
        mean: values("mean")?,
        square: values("square")?,
    };
    // Adam takes their root.
    if state.square.iter().any(|square| *square < 0.0) {
        return Err(damaged("its square has numbers below 0"));
    }
    let seed = seed.ok_or_else(|| impossible("seed"))?;
    Ok((state, seed, text("start").to_owned()))
}

/// What is said of a checkpoint that no training can have written.
fn damaged(what: impl Display) -> String {
    format!("it is damaged ({what}): {ANEW}")
}

impl Checkpoint {
    /// As [`State::save`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let origin = (self.seed, self.start.name());
        self.state.save(path, &config(&self.shape), origin)
    }

    /// As [`State::load`].
    ///
    /// # Errors
    /// When the file cannot be read, is damaged, or holds no training of a student of this shape.
    pub fn load(path: &Path, shape: &Shape) -> Result<Self, TrainError> {
        let (state, seed, start) = State::load(path, &config(shape), shape.layers().1)?;
        let start = match start.as_str() {
            "teacher" => Start::Teacher,
            "student" => Start::Student,
            // The first checkpoints said nothing: there was no other start.
            "random" | "" => Start::Random,
            other => {
                return Err(TrainError::Content {
                    path: path.to_owned(),
                    reason: damaged(format!("'{other}' is no start")),
                });
            }
        };
        Ok(Self {
            shape: *shape,
            seed,
            start,
            state,
        })
    }

    /// Writes the network of the averaged weights, with its styles' `names` and a note on how it was trained.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_student(
        &self,
        path: &Path,
        names: &[String],
        training: &Value,
    ) -> Result<(), TrainError> {
        let file = student(&self.shape, &self.state.average, names, training);
        let bytes = file.to_bytes().map_err(|reason| TrainError::Content {
            path: path.to_owned(),
            reason,
        })?;
        replace_file(path, &bytes)
    }
}

/// The network of these parameters as a file has it.
pub(super) fn student(
    shape: &Shape,
    values: &[f32],
    names: &[String],
    training: &Value,
) -> StudentFile {
    let styles = shape.styles;
    let mut tensors = BTreeMap::new();
    for layer in shape.layers().0 {
        let ((inputs, outputs), taps) = (layer.channels, layer.taps);
        let mut weight = Vec::with_capacity(taps * inputs * outputs);
        for (output, input) in (0..outputs * inputs).map(|n| (n / inputs, n % inputs)) {
            weight.extend((0..taps).map(|tap| values[layer.weight(output, input, tap)]));
        }
        let name = &layer.name;
        tensors.insert(format!("{name}.weight"), weight);
        let normed = layer.normed;
        let at = (0..styles * normed).map(|n| layer.norm(n / normed, n % normed));
        let (scale, shift) = at.map(|at| (values[at.0], values[at.1])).unzip();
        tensors.insert(format!("{name}.scale"), scale);
        tensors.insert(format!("{name}.shift"), shift);
    }
    StudentFile {
        config: shape.config,
        styles: names.to_vec(),
        training: training.clone(),
        tensors,
    }
}

fn config(shape: &Shape) -> Value {
    json!({"network": shape.config, "styles": shape.styles})
}

/// Writes a safetensors file by another name, then renames it.
fn write(
    path: &Path,
    metadata: &[(&str, String)],
    tensors: &[(String, Vec<usize>, Vec<f32>)],
) -> Result<(), TrainError> {
    let mut header = Map::new();
    header.insert(
        "__metadata__".into(),
        metadata
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str())))
            .collect::<Map<_, _>>()
            .into(),
    );
    let mut end = 0;
    for (name, dims, values) in tensors {
        let start = end;
        end += 4 * values.len();
        header.insert(
            name.clone(),
            json!({"dtype": "F32", "shape": dims, "data_offsets": [start, end]}),
        );
    }
    let mut text = Value::Object(header).to_string();
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    for (_, _, values) in tensors {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    replace_file(path, &bytes)
}

/// Writes a file by another name, then renames it, so that there is always a whole one.
///
/// # Errors
/// When it cannot be written.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let failed = |source| TrainError::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = temporary_beside(path, ".", ".part").map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: usize = 4;

    fn config() -> Value {
        json!("a style")
    }

    fn state() -> State {
        State::new(vec![0.5; LENGTH])
    }

    /// A state as it lies in a file.
    fn saved(state: &State) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.checkpoint");
        state.save(&path, &config(), (7, "nearest")).unwrap();
        std::fs::read(&path).unwrap()
    }

    /// The file with other words in its header.
    fn reworded(bytes: &[u8], words: &[(&str, &str)]) -> Vec<u8> {
        let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
        let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
        let mut header = String::from_utf8(header.to_vec()).unwrap();
        for (from, to) in words {
            assert!(header.contains(from), "{from}: {header}");
            header = header.replace(from, to);
        }
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.extend_from_slice(data);
        file
    }

    /// The file, what is wrong and what to do are told.
    fn refused(bytes: &[u8], says: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.checkpoint");
        std::fs::write(&path, bytes).unwrap();
        let error = State::load(&path, &config(), LENGTH).unwrap_err();
        let error = error.to_string();
        for part in ["a.checkpoint", says, "--overwrite instead of --resume"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = saved(&state());
        let loaded = parse(&whole, &config(), LENGTH).unwrap();
        assert_eq!(loaded, (state(), 7, "nearest".to_owned()));
        for length in [0, 5, 20, whole.len() - 1] {
            refused(&whole[..length], "damaged");
        }
        refused(
            &reworded(&whole, &[("training-1", "picture-1")]),
            "no checkpoint",
        );
        refused(&reworded(&whole, &[("\"mean\"", "\"meat\"")]), "mean");
    }

    #[test]
    fn numbers_that_no_training_has_are_refused() {
        type Part = fn(&mut State) -> &mut Vec<f32>;
        let parts: [(&str, Part); 4] = [
            ("parameters", |state| &mut state.parameters),
            ("average", |state| &mut state.average),
            ("mean", |state| &mut state.mean),
            ("square", |state| &mut state.square),
        ];
        for (name, part) in parts {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut state = state();
                part(&mut state)[2] = value;
                refused(&saved(&state), &format!("its {name} has numbers"));
            }
        }
        let mut below = state();
        below.square[3] = -1e-9;
        refused(&saved(&below), "below 0");
        let whole = saved(&state());
        for (key, was, values) in [
            (
                "steps",
                "0",
                &["1e300", "-1", "18446744073709551615", ""][..],
            ),
            ("seconds", "0", &["NaN", "inf", "-1", "1e300", "soon"][..]),
            ("seed", "7", &["-7", "1.5", ""][..]),
        ] {
            for value in values {
                let was = format!("\"{key}\":\"{was}\"");
                let now = format!("\"{key}\":\"{value}\"");
                let words = [(was.as_str(), now.as_str())];
                refused(&reworded(&whole, &words), key);
            }
        }
    }

    #[test]
    fn tensors_of_another_kind_or_length_are_refused() {
        let halves = [("\"F32\"", "\"F16\""), ("[4]", "[8]")];
        refused(&reworded(&saved(&state()), &halves), "F16, not F32");
        let short = State::new(vec![0.5; LENGTH - 1]);
        refused(&saved(&short), "3 numbers where 4");
        let mut uneven = state();
        uneven.average.push(0.5);
        refused(&saved(&uneven), "average has 5 numbers");
    }
}
