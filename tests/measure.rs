//! The measure of steadiness against the independent yardstick, given the same flow.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use allaprima::{
    frame::Picture,
    temporal::{
        flow::{Flow, Motion},
        measure::{Measure, Running, Tracks},
    },
};
use safetensors::SafeTensors;

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/golden/steadiness.safetensors"
);

struct Golden {
    films: [Vec<Picture>; 3],
    motion: Vec<Motion>,
    expected: serde_json::Value,
}

fn golden() -> Golden {
    let bytes = std::fs::read(GOLDEN).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let text = &header.metadata().as_ref().unwrap()["expected"];
    let films = ["input", "stylised", "baseline"].map(|name| {
        let tensor = tensors.tensor(name).unwrap();
        let (height, width) = (tensor.shape()[1], tensor.shape()[2]);
        let frames = tensor.data().chunks_exact(width * height * 3);
        frames
            .map(|rgb| Picture::new(width, height, rgb.to_vec()).unwrap())
            .collect()
    });
    let (flow, consistent) = (
        tensors.tensor("flow").unwrap(),
        tensors.tensor("consistent").unwrap(),
    );
    let (height, width) = (flow.shape()[1], flow.shape()[2]);
    let area = width * height;
    let motion = flow
        .data()
        .chunks_exact(area * 8)
        .zip(consistent.data().chunks_exact(area))
        .map(|(flow, consistent)| {
            let lane = |at: usize| {
                flow.chunks_exact(8)
                    .map(|uv| f32::from_le_bytes(uv[at..at + 4].try_into().unwrap()))
                    .collect()
            };
            Motion {
                backward: Flow {
                    width,
                    height,
                    u: lane(0),
                    v: lane(4),
                },
                consistent: consistent.to_vec(),
                ..Motion::default()
            }
        })
        .collect();
    Golden {
        films,
        motion,
        expected: serde_json::from_str(text).unwrap(),
    }
}

/// Every figure within 5 % of what the yardstick says of the same films with the same flow.
#[test]
fn agrees_with_the_yardstick() {
    let Golden {
        films: [input, stylised, baseline],
        motion,
        expected,
    } = golden();
    let mut measure = Measure::default();
    for t in 0..input.len() {
        let motion = t.checked_sub(1).map(|t| &motion[t]);
        measure.push(
            input[t].clone(),
            stylised[t].clone(),
            Some(baseline[t].clone()),
            motion,
        );
    }
    let measured = measure.finish().unwrap();
    let against = measured.against.clone().unwrap();
    assert_eq!((measured.frames, measured.cuts), (input.len(), 0));
    let close = |name: &str, got: f64, wanted: &serde_json::Value| {
        let wanted = wanted.as_f64().unwrap();
        println!("{name}: {got:.5}, the yardstick says {wanted:.5}");
        assert!((got / wanted - 1.0).abs() < 0.05, "{name}: {got}, {wanted}");
    };
    close("e_stab", measured.e_stab, &expected["e_stab"]);
    close("input", measured.e_stab_input, &expected["e_stab_input"]);
    let baseline = &expected["e_stab_baseline"];
    close("baseline", against.e_stab_baseline, baseline);
    close("lag", against.lag.unwrap(), &expected["lag"]);
    for (octave, got) in against.texture.into_iter().enumerate() {
        close(
            &format!("octave {octave}"),
            got,
            &expected["texture"][octave],
        );
    }
}

/// What a run prints of itself is sampled, but near.
#[test]
fn the_sampled_measure_is_near() {
    let Golden {
        films: [input, stylised, _],
        motion,
        expected,
    } = golden();
    for (film, name) in [(input, "e_stab_input"), (stylised, "e_stab")] {
        let mut running = Running::default();
        for (t, picture) in film.iter().enumerate() {
            let tracks = t.checked_sub(1).map(|t| Tracks::some(&motion[t]));
            running.push(picture, tracks.as_ref());
        }
        let got = running.result().unwrap();
        let wanted = expected[name].as_f64().unwrap();
        assert!((got / wanted - 1.0).abs() < 0.15, "{name}: {got}, {wanted}");
    }
}

/// A film that stands still under motion that is none measures zero; a cut is left out and counted.
#[test]
fn a_still_film_measures_zero_and_a_cut_is_left_out() {
    let (width, height) = (40, 32);
    let still = |consistent: u8| Motion {
        backward: Flow {
            width,
            height,
            u: vec![0.0; width * height],
            v: vec![0.0; width * height],
        },
        consistent: vec![consistent; width * height],
        ..Motion::default()
    };
    let picture = |value: u8| Picture::new(width, height, vec![value; width * height * 3]).unwrap();
    let mut measure = Measure::default();
    measure.push(picture(9), picture(60), None, None);
    measure.push(picture(9), picture(60), None, Some(&still(1)));
    measure.push(picture(200), picture(10), None, Some(&still(0)));
    let measured = measure.finish().unwrap();
    assert_eq!((measured.frames, measured.cuts), (3, 1));
    assert_eq!((measured.e_stab, measured.e_stab_input), (0.0, 0.0));
    assert!(measured.against.is_none());
    assert!(Measure::default().finish().is_none());
}
