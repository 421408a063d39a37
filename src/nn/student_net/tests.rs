//! Students: any size is painted, folded kernels are what they stand for, costs are counted.

use super::*;

const EVERY: [Upsampling; 2] = [Upsampling::Shuffle, Upsampling::Nearest];

fn configs() -> impl Iterator<Item = StudentConfig> {
    [(16, 8, None), (32, 16, Some(5)), (16, 8, Some(9))]
        .into_iter()
        .zip([EVERY, [EVERY[1]; 2], [EVERY[0]; 2]])
        .map(|((width, detail, refine), upsampling)| StudentConfig {
            width,
            entry: if width == 32 { 2 } else { 1 },
            blocks: 1,
            detail,
            upsampling,
            refine,
        })
}

#[test]
fn any_size_is_painted_in_blends_and_every_tensor_counts() -> Result<()> {
    let device = Device::Cpu;
    for config in configs() {
        let mut tensors = config.initial(3, 7, &device)?;
        let variables: BTreeMap<_, _> = tensors
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), candle_core::Var::from_tensor(tensor)?)))
            .collect::<Result<_>>()?;
        for (name, variable) in &variables {
            tensors.insert(name.clone(), variable.as_tensor().clone());
        }
        let net = StudentNet::new(config, 3, &tensors)?;
        let x = Tensor::rand(0f32, 1., (2, 3, 37, 42), &device)?;
        let weights = Tensor::new(&[[1f32, 0., 0.], [0.2, 0.3, 0.5]], &device)?;
        let y = net.forward(&x, &weights)?;
        assert_eq!(y.dims(), x.dims());
        let gradients = (y * x)?.sum_all()?.backward()?;
        for (name, variable) in &variables {
            let Some(gradient) = gradients.get(variable) else {
                candle_core::bail!("no gradient reaches {name}");
            };
            let size = gradient.abs()?.sum_all()?.to_scalar::<f32>()?;
            assert!(size > 0.0, "the gradient of {name} is zero");
        }
    }
    Ok(())
}

#[test]
fn a_folded_kernel_is_the_one_behind_nearest_upsampling() -> Result<()> {
    let device = Device::Cpu;
    let config = StudentConfig {
        upsampling: [Upsampling::Nearest; 2],
        ..StudentConfig::SWIFT
    };
    let net = StudentNet::new(config, 1, &config.initial(1, 3, &device)?)?;
    let kernel = Tensor::randn(0f32, 1., (3, 2, 5, 5), &device)?;
    let x = Tensor::randn(0f32, 1., (1, 2, 6, 7), &device)?;
    let behind = x.upsample_nearest2d(12, 14)?.conv2d(&kernel, 0, 1, 1, 1)?;
    let before = pixel_shuffle(&x.conv2d(&net.folded(&kernel)?, 0, 1, 1, 1)?)?;
    // Both without padding: the first begins at pixel 2 of the upsampled plane, so does the second.
    assert_eq!(before.dims(), behind.dims());
    let difference = (before - behind)?.abs()?.max_all()?.to_scalar::<f32>()?;
    assert!(difference < 1e-4, "{difference}");
    Ok(())
}

/// Left half dark, right half bright: far from the edge nothing may differ from pixel to pixel.
#[test]
fn flat_areas_begin_without_a_pattern() -> Result<()> {
    let device = Device::Cpu;
    for config in configs() {
        let net = StudentNet::new(config, 1, &config.initial(1, 5, &device)?)?;
        let x = Tensor::cat(
            &[
                Tensor::zeros((1, 3, 96, 96), candle_core::DType::F32, &device)?,
                Tensor::ones((1, 3, 96, 96), candle_core::DType::F32, &device)?,
            ],
            3,
        )?;
        let y = net.forward(&x, &Tensor::ones((1, 1), candle_core::DType::F32, &device)?)?;
        let flat = y.narrow(2, 40, 16)?.narrow(3, 8, 16)?.flatten_from(2)?;
        let spread = (flat.max(2)? - flat.min(2)?)?.max_all()?;
        assert!(spread.to_scalar::<f32>()? < 1e-3, "{config:?}");
    }
    Ok(())
}

#[test]
fn costs_are_counted() {
    // 48·32·9/16 + 32·32·9/16 + 8·32·32·9/16 + 32·32·9/16 + 8·16·9/4 + 4·3·81.
    let expected = 864.0 + 576.0 + 4608.0 + 576.0 + 288.0 + 972.0;
    assert_eq!(StudentConfig::SWIFT.multiply_adds_per_pixel(), expected);
}
