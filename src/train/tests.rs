//! Trainings of a few steps, with a teacher of two styles and photos made of noise.

use super::photos::{Photos, Views};
use super::random::Random;
use super::*;
use crate::frame::Picture;
use crate::models::{LOSS_NETWORK, ModelStore, SWIFT_PACK};
use crate::nn::student_file::StudentFile;
use crate::nn::student_net::StudentConfig;
use crate::nn::vgg::VggWeights;
use crate::style::{StyleChoice, StylePack};
use safetensors::SafeTensors;

const SHAPE: Shape = Shape {
    config: StudentConfig {
        width: 16,
        blocks: 1,
        refine: None,
        ..StudentConfig::SWIFT
    },
    styles: 2,
};
const SETTINGS: fn() -> Settings = || Settings {
    crop: 64,
    ..Settings::default()
};

/// Pictures of soft spots.
fn photos() -> Photos {
    let picture = |seed: u64| {
        let mut random = Random::new(seed, [0, 0]);
        let (width, height) = (140, 110);
        let spots: Vec<[f32; 6]> = (0..12)
            .map(|_| {
                let place = [random.between(0.0, 140.0), random.between(0.0, 110.0)];
                let size = random.between(6.0, 30.0);
                [
                    place[0],
                    place[1],
                    size,
                    random.unit(),
                    random.unit(),
                    random.unit(),
                ]
            })
            .collect();
        let mut rgb = Vec::new();
        for (y, x) in (0..width * height).map(|n| (n / width, n % width)) {
            let mut color = [0.3_f32; 3];
            for spot in &spots {
                let distance = (x as f32 - spot[0]).hypot(y as f32 - spot[1]) / spot[2];
                let weight = (-distance * distance).exp();
                for c in 0..3 {
                    color[c] += weight * (spot[3 + c] - color[c]);
                }
            }
            rgb.extend(color.map(|value| (value * 255.0) as u8));
        }
        Picture::new(width, height, rgb).unwrap()
    };
    Photos::new((1..4).map(picture))
}

fn training(state: Option<State>) -> Distillation {
    let pack = StylePack::load(&ModelStore::embedded().unwrap()).unwrap();
    let styles = [3, 9].map(|n| pack.parameters(&StyleChoice::single(n)));
    let teacher = Teacher {
        network: pack.network().clone(),
        names: ["first", "second"].map(String::from).to_vec(),
        styles: styles.to_vec(),
    };
    Distillation::new(SHAPE, SETTINGS(), teacher, photos(), state).unwrap()
}

/// A teacher of two styles, and photos.
pub(super) fn teacher_and_photos() -> (Teacher, Photos) {
    (training(None).teacher().clone(), photos())
}

fn make(training: &mut Distillation, steps: usize, plan: Plan) {
    for _ in 0..steps {
        training.step(plan).unwrap();
    }
}

#[test]
fn an_interrupted_training_ends_as_one_that_was_not() {
    let plan = Plan::Steps(6);
    let mut whole = training(None);
    make(&mut whole, 6, plan);
    let mut first = training(None);
    make(&mut first, 3, plan);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.checkpoint");
    let checkpoint = Checkpoint {
        shape: SHAPE,
        seed: 1,
        start: Start::Random,
        state: first.state().clone(),
    };
    checkpoint.save(&path).unwrap();
    let loaded = Checkpoint::load(&path, &SHAPE).unwrap();
    assert_eq!(loaded, checkpoint);
    let mut second = training(Some(loaded.state));
    make(&mut second, 3, plan);
    assert_eq!(second.state(), whole.state());
    assert_eq!(second.done(plan), 1.0);
}

#[test]
fn a_student_learns_and_its_file_is_read() {
    let mut training = training(None);
    let before = training.judge(&photos()).unwrap();
    let plan = Plan::Steps(150);
    make(&mut training, 150, plan);
    let after = training.judge(&photos()).unwrap();
    assert!(
        after.difference < 0.95 * before.difference,
        "{before:?} {after:?}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.safetensors");
    let checkpoint = Checkpoint {
        shape: SHAPE,
        seed: 1,
        start: Start::Random,
        state: training.state().clone(),
    };
    let names = ["first".to_owned(), "second".to_owned()];
    let note = serde_json::json!({"steps": 150});
    checkpoint.save_student(&path, &names, &note).unwrap();
    let file = StudentFile::parse(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(
        (file.config, file.styles, file.training),
        (SHAPE.config, names.to_vec(), note)
    );
}

/// A student with all the teacher's blocks and its end needs to learn the entry only, and is near the teacher soon.
#[test]
fn a_student_that_begins_with_the_teachers_layers_follows_its_trunk() {
    let shape = Shape {
        config: StudentConfig::FINE,
        styles: 2,
    };
    let settings = Settings {
        start: Start::Teacher,
        ..SETTINGS()
    };
    let teacher = training(None).teacher().clone();
    let mut training = Distillation::new(shape, settings, teacher, photos(), None).unwrap();
    let before = training.judge(&photos()).unwrap();
    let plan = Plan::Steps(120);
    let mut first = 0.0;
    let mut last = 0.0;
    for step in 0..120 {
        let hint = training.step(plan).unwrap().hint;
        *(if step < 20 { &mut first } else { &mut last }) +=
            hint / if step < 20 { 20.0 } else { 100.0 };
    }
    let after = training.judge(&photos()).unwrap();
    assert!(last < 0.7 * first, "{first} {last}");
    assert!(
        after.difference < 0.8 * before.difference,
        "{before:?} {after:?}"
    );
}

/// The shipped student, for two of its styles.
fn student() -> (Shape, StudentFile, Teacher) {
    let store = ModelStore::embedded().unwrap();
    let whole = StudentFile::parse(&store.read(SWIFT_PACK).unwrap()).unwrap();
    let pack = StylePack::load(&store).unwrap();
    let rows = [3, 9];
    let names = rows.map(|row| whole.styles[row].clone()).to_vec();
    let mut file = whole.clone();
    file.styles.clone_from(&names);
    for (name, values) in &mut file.tensors {
        if !name.ends_with(".weight") {
            let channels = values.len() / whole.styles.len();
            let of = |row: usize| values[row * channels..][..channels].to_vec();
            *values = rows.map(of).concat();
        }
    }
    let styles = rows.map(|row| pack.parameters(&StyleChoice::single(row)));
    let shape = Shape {
        config: file.config,
        styles: 2,
    };
    let teacher = Teacher {
        network: pack.network().clone(),
        names,
        styles: styles.to_vec(),
    };
    (shape, file, teacher)
}

#[test]
fn a_student_in_a_file_is_where_a_training_begins() {
    let (shape, file, _) = student();
    let state = State::of_student(&shape, &file);
    let again = checkpoint::student(&shape, &state.parameters, &file.styles, &file.training);
    assert_eq!(again, file);
}

/// By the real loss network, from a student whose entry was disturbed: on the same pieces of photos the loss falls, flicker
/// too, and the end is the teacher's as before.
#[test]
fn a_student_learns_how_its_paintings_look() {
    let (shape, mut file, teacher) = student();
    let mut random = Random::new(11, [0, 0]);
    let entry = file.tensors.get_mut("enter.weight").unwrap();
    let size = entry.iter().map(|value| value.abs()).sum::<f32>() / entry.len() as f32;
    entry
        .iter_mut()
        .for_each(|value| *value += random.between(-size, size));
    let store = ModelStore::open(None).unwrap();
    let bytes = store.read(LOSS_NETWORK).unwrap();
    let network = VggWeights::load(&SafeTensors::deserialize(&bytes).unwrap()).unwrap();
    let begin = |rate: f32, state: State| {
        let settings = Settings {
            crop: 64,
            batch: 1,
            rate,
            ..Settings::of_strokes()
        };
        let mut training =
            Distillation::new(shape, settings, teacher.clone(), photos(), Some(state)).unwrap();
        training.look_by(&network).unwrap();
        training
    };
    // Steps that change nothing tell how good the weights are, each time of the same pieces.
    let judge = |parameters: &[f32]| {
        let mut training = begin(0.0, State::new(parameters.to_vec()));
        let mut sums = [0.0; 2];
        for _ in 0..30 {
            let report = training.step(Plan::Steps(30)).unwrap();
            sums[0] += report.terms.total;
            sums[1] += report.flicker;
        }
        sums
    };
    let mut training = begin(
        Settings::of_strokes().rate,
        State::of_student(&shape, &file),
    );
    make(&mut training, 150, Plan::Steps(150));
    let before = judge(&State::of_student(&shape, &file).parameters);
    let after = judge(&training.state().parameters);
    assert!(
        after[0] < 0.9 * before[0] && after[1] < before[1],
        "{before:?} {after:?}"
    );
    let (state, begun) = (training.state(), State::of_student(&shape, &file));
    for layer in shape.layers().0 {
        // A single weight may stand behind a channel that these pieces leave dark.
        let moved = layer
            .kernel()
            .any(|at| state.parameters[at] != begun.parameters[at]);
        let is_end = layer.name.starts_with("expand") || layer.name == "refine";
        assert_eq!(moved, !is_end, "{}", layer.name);
    }
}

#[test]
fn a_checkpoint_of_another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("student.checkpoint");
    let length = SHAPE.layers().1;
    let checkpoint = Checkpoint {
        shape: SHAPE,
        seed: 1,
        start: Start::Random,
        state: State::new(vec![0.5; length]),
    };
    checkpoint.save(&path).unwrap();
    let other = Shape { styles: 3, ..SHAPE };
    let error = Checkpoint::load(&path, &other).unwrap_err().to_string();
    assert!(error.contains("another network"), "{error}");
    std::fs::write(&path, b"nothing of the kind").unwrap();
    assert!(Checkpoint::load(&path, &SHAPE).is_err());
}

#[test]
fn the_second_view_is_the_first_moved() {
    let photos = photos();
    let side = 64;
    let (mut moves, mut apart, mut misplaced) = (0, 0.0, 0.0);
    for turn in 0..20 {
        let Views { seen, moved, .. } = photos.views(&mut Random::new(7, [turn, 0]), side, true);
        if moved == (0, 0) {
            continue;
        }
        moves += 1;
        let differ = |(row, column): (isize, isize)| {
            let (mut sum, mut count) = (0.0, 0);
            for (y, x) in (8..side - 8).flat_map(|y| (8..side - 8).map(move |x| (y, x))) {
                let (other_y, other_x) = (y as isize - row, x as isize - column);
                let other = (other_y as usize * side + other_x as usize) * 3;
                sum += (seen[0][(y * side + x) * 3] - seen[1][other]).abs();
                count += 1;
            }
            sum / count as f32
        };
        apart += differ(moved);
        misplaced += differ((-moved.0, -moved.1));
    }
    assert!(
        moves > 5 && apart * 2.0 < misplaced,
        "{moves}: {apart} {misplaced}"
    );
}
