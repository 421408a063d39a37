//! With the feature `cuda`: the kernels of `src/cuda` by NVIDIA's compiler, as PTX and, so that no driver has to finish them for
//! half a minute, as machine code of the usual cards.

use std::{env, fs, path::PathBuf, process::Command};

/// The first one includes the others.
const SOURCES: [&str; 14] = [
    "src/cuda/kernels/all.cu",
    "src/cuda/kernels/card.cuh",
    "src/cuda/kernels/convolution.cuh",
    "src/cuda/kernels/flow.cu",
    "src/cuda/kernels/flow.cuh",
    "src/cuda/kernels/loss.cu",
    "src/cuda/kernels/octaves.cu",
    "src/cuda/kernels/painting.cu",
    "src/cuda/kernels/picture.cuh",
    "src/cuda/kernels/refine.cu",
    "src/cuda/kernels/statistics.cuh",
    "src/cuda/kernels/steady.cu",
    "src/cuda/kernels/steady.cuh",
    "src/cuda/kernels/vectors.cu",
];

/// Compute capabilities that there is machine code for: A100, the RTX 30, 40 and 50 series, H100. Other cards take the PTX.
const CARDS: [u32; 5] = [80, 86, 89, 90, 120];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for variable in ["NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    if env::var_os("CARGO_FEATURE_CUDA").is_some()
        && let Err(why) = compile()
    {
        println!("cargo::error={why}");
    }
}

fn compile() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.ptx");
    let compiler = compiler();
    // The oldest cards whose tensor cores have the instruction that the convolutions use.
    let status = Command::new(&compiler)
        .args([
            "-std=c++17",
            "-O3",
            "-arch=compute_80",
            "-ptx",
            SOURCES[0],
            "-o",
        ])
        .arg(&out)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => {
            return Err(format!(
                "{} could not compile {}",
                compiler.display(),
                SOURCES[0]
            ));
        }
        Err(_) => {
            return Err(format!(
                "the feature cuda needs NVIDIA's compiler, and {} does not run: `./x build-cuda` fetches one, or set NVCC or CUDA_HOME",
                compiler.display()
            ));
        }
    }
    // A driver that is older than the compiler refuses its PTX; these kernels need nothing that 7.0 does not have but for
    // hints of the compiler to itself. The assembler says whether that holds.
    let text = fs::read_to_string(&out).map_err(|error| error.to_string())?;
    let lines = text
        .lines()
        .filter(|line| !line.contains("used_bytes_mask"))
        .map(|line| match line.starts_with(".version ") {
            true => ".version 7.0",
            false => line,
        });
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    fs::write(&out, text).map_err(|error| error.to_string())?;
    let assembler = compiler.with_file_name("ptxas");
    let runs = CARDS.map(|card| {
        let code = out.with_file_name(format!("kernels_{card}.cubin"));
        Command::new(&assembler)
            .arg(format!("-arch=sm_{card}"))
            .arg("-o")
            .args([&code, &out])
            .spawn()
    });
    for (card, run) in CARDS.into_iter().zip(runs) {
        let done = run.and_then(|mut run| run.wait());
        match done {
            Ok(status) if status.success() => continue,
            // The oldest is the one that says whether this is what it says it is.
            Ok(_) if card == CARDS[0] => return Err("the kernels are no PTX 7.0".into()),
            _ => {}
        }
        // A compiler that is older than the card, or comes without an assembler: that card takes the PTX.
        let code = out.with_file_name(format!("kernels_{card}.cubin"));
        fs::write(code, []).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn compiler() -> PathBuf {
    if let Some(path) = env::var_os("NVCC") {
        return path.into();
    }
    ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(env::var_os)
        .map(|home| PathBuf::from(home).join("bin/nvcc"))
        .find(|path| path.exists())
        .unwrap_or_else(|| "nvcc".into())
}
