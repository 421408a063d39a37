//! `allaprima doctor`: what this machine has, and what is wrong with it. It fails when nothing can be painted.

use allaprima::{
    device::{DeviceChoice, DeviceError},
    kernels::InstructionSet,
    media,
    models::{LOSS_NETWORK, ModelStore},
    sink::{Codec, available_codecs},
    source::{self, CameraError},
    style::StylePack,
};
use anyhow::{Result, bail};
use serde::Serialize;

use super::{args::DoctorArgs, settings::threads};

#[derive(Serialize)]
struct Finding {
    name: &'static str,
    ok: bool,
    says: String,
}

pub fn run(args: &DoctorArgs) -> Result<()> {
    let models = models(args);
    let paints = models.ok;
    let findings = [
        Finding {
            name: "version",
            ok: true,
            says: env!("CARGO_PKG_VERSION").into(),
        },
        Finding {
            name: "threads",
            ok: true,
            says: threads(None).to_string(),
        },
        Finding {
            name: "instructions",
            ok: true,
            says: InstructionSet::best().to_string(),
        },
        gpu("cuda", cfg!(feature = "cuda"), DeviceChoice::Cuda(0)),
        gpu("metal", cfg!(feature = "metal"), DeviceChoice::Metal(0)),
        gpu("vulkan", cfg!(feature = "vulkan"), DeviceChoice::Vulkan(0)),
        Finding {
            name: "device",
            ok: true,
            says: format!("auto is {}", DeviceChoice::Auto.resolve()?.description()),
        },
        Finding {
            name: "ffmpeg",
            ok: true,
            says: media::version(),
        },
        encoders(),
        cameras(),
        Finding {
            name: "window",
            ok: true,
            says: if cfg!(feature = "window") {
                "built in".into()
            } else {
                "not built in (cargo feature `window`)".into()
            },
        },
        models,
    ];
    if args.json {
        put!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for Finding { name, ok, says } in &findings {
            put!("{} {name:13} {says}", if *ok { " " } else { "!" });
        }
    }
    if !paints {
        bail!(
            "nothing can be painted without models; --models or ALLAPRIMA_MODELS names their folder"
        );
    }
    Ok(())
}

fn gpu(name: &'static str, built: bool, device: DeviceChoice) -> Finding {
    match device.resolve() {
        Ok(found) => Finding {
            name,
            ok: true,
            says: match device.resolve_unasked() {
                Ok(_) => format!("{device} works: {}", found.description()),
                Err(_) => format!(
                    "{device} works: {}; the processor paints faster",
                    found.description()
                ),
            },
        },
        Err(DeviceError::Unusable { source, .. }) if built => Finding {
            name,
            ok: false,
            says: format!("{device} is not used: {:#}", anyhow::anyhow!(source)),
        },
        Err(_) => Finding {
            name,
            ok: true,
            says: format!("not built in (cargo feature `{name}`)"),
        },
    }
}

fn encoders() -> Finding {
    let codecs: Vec<_> = available_codecs().collect();
    let ok = codecs.contains(&Codec::H264);
    let hint = if ok {
        ""
    } else {
        " (h264 is missing: an MP4 needs another --codec)"
    };
    let names: Vec<_> = codecs.into_iter().map(Codec::name).collect();
    Finding {
        name: "codecs",
        ok,
        says: format!("{}{hint}", names.join(", ")),
    }
}

fn cameras() -> Finding {
    let (ok, says) = match source::cameras() {
        Ok(cameras) if cameras.is_empty() => (true, "none".to_owned()),
        Ok(cameras) => (true, cameras.join("; ")),
        // A program without cameras was built so on purpose.
        Err(error) => (matches!(error, CameraError::NotBuilt), error.to_string()),
    };
    Finding {
        name: "cameras",
        ok,
        says,
    }
}

fn models(args: &DoctorArgs) -> Finding {
    let found = ModelStore::open(args.models.models.as_deref()).and_then(|store| {
        StylePack::load(&store)?;
        if store.folder().is_some() {
            for file in &store.manifest().files {
                store.read(&file.name)?;
            }
        }
        Ok(store)
    });
    match found {
        Ok(store) => {
            let place = store
                .folder()
                .map_or("built in".into(), |folder| folder.display().to_string());
            let files = store.manifest().files.iter();
            let names = files.map(|file| file.name.as_str());
            // Built in is not everything that the manifest names.
            let names: Vec<_> = names.filter(|name| store.has(name)).collect();
            let missing = if names.contains(&LOSS_NETWORK) {
                ""
            } else {
                "; --engine optimize and train need the project's models folder, by --models or ALLAPRIMA_MODELS"
            };
            let count = store.manifest().styles.list.len();
            Finding {
                name: "models",
                ok: true,
                says: format!("{place}: {} ({count} styles){missing}", names.join(", ")),
            }
        }
        Err(error) => Finding {
            name: "models",
            ok: false,
            says: format!("{:#}", anyhow::Error::from(error)),
        },
    }
}
