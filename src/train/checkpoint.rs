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
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
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

    /// Reads a state, its seed and what it was started from.
    ///
    /// # Errors
    /// When the file cannot be read, or holds no training of what `config` says.
    pub fn load(path: &Path, config: &Value) -> Result<(Self, u64, String), TrainError> {
        let content = |reason: String| TrainError::Content {
            path: path.to_owned(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|source| TrainError::Read {
            path: path.to_owned(),
            source,
        })?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| content(e.to_string()))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| content(e.to_string()))?;
        let texts = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| texts.get(key).map(String::as_str).unwrap_or_default();
        if text("format") != CHECKPOINT {
            return Err(content("it is no checkpoint of a training".into()));
        }
        let started = serde_json::from_str::<Value>(text("config")).ok();
        if started.as_ref() != Some(config) {
            let reason = format!(
                "it was started with another network or style ({}): give the same options again",
                text("config")
            );
            return Err(content(reason));
        }
        let number = |key: &str| {
            text(key)
                .parse::<f64>()
                .map_err(|_| content(format!("it does not say its {key}")))
        };
        let values = |name: &str| -> Result<Vec<f32>, TrainError> {
            let tensor = file.tensor(name).map_err(|e| content(e.to_string()))?;
            let floats = tensor.data().chunks_exact(4);
            Ok(floats
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect::<Vec<f32>>())
        };
        let state = Self {
            steps: number("steps")? as u64,
            seconds: number("seconds")?,
            parameters: values("parameters")?,
            average: values("average")?,
            mean: values("mean")?,
            square: values("square")?,
        };
        let length = state.parameters.len();
        if [&state.average, &state.mean, &state.square]
            .iter()
            .any(|values| values.len() != length)
        {
            return Err(content("its tensors do not fit together".into()));
        }
        let seed = text("seed")
            .parse()
            .map_err(|_| content("it does not say its seed".into()))?;
        Ok((state, seed, text("start").to_owned()))
    }
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
    /// When the file cannot be read, or holds no training of a student of this shape.
    pub fn load(path: &Path, shape: &Shape) -> Result<Self, TrainError> {
        let (state, seed, start) = State::load(path, &config(shape))?;
        if state.parameters.len() != shape.layers().1 {
            return Err(TrainError::Content {
                path: path.to_owned(),
                reason: "its parameters are not those of this network".into(),
            });
        }
        Ok(Self {
            shape: *shape,
            seed,
            start: match start.as_str() {
                "teacher" => Start::Teacher,
                "student" => Start::Student,
                _ => Start::Random,
            },
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
