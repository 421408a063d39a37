//! Looking up between pixels, by every instruction set of this processor.

use super::*;

/// One number a pixel, and the same number with its negative.
fn pictures(width: usize, height: usize, value: impl Fn(f32, f32) -> f32) -> [Vec<f32>; 2] {
    let one: Vec<f32> = (0..width * height)
        .map(|i| value((i % width) as f32, (i / width) as f32))
        .collect();
    let two = one.iter().flat_map(|&value| [value, -value]).collect();
    [one, two]
}

/// The value at a position by every implementation that this processor has.
fn by_all<const LANES: usize>(sampler: &Sampler<'_, LANES>, x: f32, y: f32) -> Vec<[f32; LANES]> {
    let place = sampler.place(x, y);
    // SAFETY: each is asked only where its instructions are.
    unsafe {
        let mut values = vec![sampler.at::<Plain>(place, x, y)];
        #[cfg(target_arch = "x86_64")]
        {
            use crate::kernels::InstructionSet;
            if InstructionSet::Avx2.is_available() {
                values.push(sampler.at::<Avx2>(place, x, y));
            }
            if InstructionSet::Avx512.is_available() {
                values.push(sampler.at::<Avx512>(place, x, y));
            }
        }
        values.into_iter().flatten().collect()
    }
}

/// Whether four at once are the same as one by one, by every implementation that this processor has.
macro_rules! four_by_four {
    ($sampler:expr, $x:expr, $y:expr) => {{
        let sampler = $sampler;
        let at = |i: usize| ($x + 0.3 * i as f32, $y - 0.2 * i as f32);
        let places = std::array::from_fn(|i| sampler.place(at(i).0, at(i).1));
        // SAFETY: each is asked only where its instructions are.
        let (one, fours) = unsafe {
            let one = |i: usize| sampler.at::<Plain>(places[i], at(i).0, at(i).1);
            let one: Vec<f32> = (0..4).filter_map(one).flatten().collect();
            let mut fours = vec![[f32::NAN; 8]; 3];
            let [plain, avx2, avx512] = &mut fours[..] else {
                unreachable!()
            };
            let wide = one.len();
            assert!(sampler.four::<Plain>(&places, &mut plain[..wide]));
            #[cfg(target_arch = "x86_64")]
            {
                use crate::kernels::InstructionSet;
                if InstructionSet::Avx2.is_available() {
                    assert!(sampler.four::<Avx2>(&places, &mut avx2[..wide]));
                }
                if InstructionSet::Avx512.is_available() {
                    assert!(sampler.four::<Avx512>(&places, &mut avx512[..wide]));
                }
            }
            (one, fours)
        };
        // What this processor has not stays as it was.
        let mut asked = fours.iter().filter(|four| !four[0].is_nan());
        asked.all(|four| four.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-2))
    }};
}

/// All values at a position, of pictures of one and two numbers.
fn all([one, two]: &[Vec<f32>; 2], size: (usize, usize), x: f32, y: f32) -> Vec<f32> {
    let single = by_all(&Sampler::<1>::new(one, size.0, size.1), x, y);
    let double = by_all(&Sampler::<2>::new(two, size.0, size.1), x, y);
    let double = double
        .into_iter()
        .flat_map(|[value, negative]| [value, -negative]);
    single.into_iter().flatten().chain(double).collect()
}

#[test]
fn waves_of_up_to_three_pixels_are_kept() {
    for frequency in [0.05_f32, 0.2, 0.33] {
        let value = |x: f32, y: f32| {
            100.0 + 50.0 * (std::f32::consts::TAU * frequency * (x + 0.3 * y)).sin()
        };
        let pixels = pictures(40, 30, value);
        for (x, y) in [(13.0, 14.0), (13.25, 14.75), (17.5, 12.5), (20.125, 9.0)] {
            assert!(four_by_four!(Sampler::<1>::new(&pixels[0], 40, 30), x, y));
            assert!(four_by_four!(Sampler::<2>::new(&pixels[1], 40, 30), x, y));
            for got in all(&pixels, (40, 30), x, y) {
                let wanted = value(x, y);
                assert!(
                    (got - wanted).abs() < 2.5,
                    "{frequency} ({x}, {y}): {got} for {wanted}"
                );
            }
        }
    }
}

#[test]
fn whole_positions_return_the_pixel_and_outside_the_edge() {
    for (width, height) in [(6, 5), (16, 12)] {
        let pixels = pictures(width, height, |x, y| x * 10.0 + y);
        let at = |x: f32, y: f32| all(&pixels, (width, height), x, y);
        let last = (10 * (width - 1) + height - 1) as f32;
        for y in 0..height {
            for x in 0..width {
                for got in at(x as f32, y as f32) {
                    assert!((got - (x * 10 + y) as f32).abs() < 1e-2, "({x}, {y})");
                }
            }
        }
        assert!(at(-30.0, -2.0).iter().all(|got| got.abs() < 1e-3));
        assert!(at(99.0, 99.0).iter().all(|got| (got - last).abs() < 1e-2));
        assert!(at(f32::NAN, 1.0).iter().all(|got| got.is_finite()));
    }
}
