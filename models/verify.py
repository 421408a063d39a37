#!/usr/bin/env python3
"""Run every converted network against the original file and print how far apart they are."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

import any_picture
import convert
import multistyle
import rebuild
import store
import vgg
from onnx_float import dequantise

HERE = Path(__file__).resolve().parent


def picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """The central crop of the wanted shape, Lanczos-resized: 1x3xHxW, 0..1."""
    image = Image.open(path).convert("RGB")
    width, height = size
    scale = max(width / image.width, height / image.height)
    crop_w, crop_h = width / scale, height / scale
    left, top = max(0.0, (image.width - crop_w) / 2), max(0.0, (image.height - crop_h) / 2)
    box = (left, top, min(image.width, left + crop_w), min(image.height, top + crop_h))
    image = image.resize(size, Image.Resampling.LANCZOS, box=box)
    return np.ascontiguousarray((np.asarray(image, np.float32) / 255).transpose(2, 0, 1)[None])


def session(data: bytes) -> onnxruntime.InferenceSession:
    """An onnxruntime session on the CPU."""
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def report(what: str, a: np.ndarray, b: np.ndarray) -> None:
    """Print the largest and the mean absolute difference."""
    difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    print(f"{what:<72} max {difference.max():.2e}  mean {difference.mean():.2e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", type=Path, default=HERE / ".wheels")
    parser.add_argument("--samples", type=Path, default=HERE.parent / "samples")
    arguments = parser.parse_args()
    sources = {name: wheel.read(arguments.wheels, member) for name, wheel, member, _ in convert.FILES}
    files = {name: store.load(HERE / name) for name in sources}

    photo = picture(arguments.samples / "coffee.jpg", (320, 240))
    original, ours = session(sources["multistyle26.safetensors"]), rebuild.multistyle(files["multistyle26.safetensors"][0])
    pairs = []
    for style in range(multistyle.STYLES):
        feeds = {"image": photo, "style_weights": np.eye(26, dtype=np.float32)[style]}
        pairs.append((original.run(None, feeds)[0], ours.run(None, feeds)[0]))
    assert all(a.std() > 0.01 for a, _ in pairs)
    report("multistyle26: file against original, all 26 styles, 320x240", *(np.stack(side) for side in zip(*pairs)))

    content = picture(arguments.samples / "chelsea.png", (384, 384))
    nhwc = content.transpose(0, 2, 3, 1)
    predict_data, transform_data = sources["any_predict.safetensors"], sources["any_transform.safetensors"]
    predict_float = session(dequantise(onnx.load_from_string(predict_data)).SerializeToString())
    transform_float = session(dequantise(onnx.load_from_string(transform_data)).SerializeToString())
    predict_exact = rebuild.any_network(*any_picture.convert_predict(predict_data))
    transform_exact = rebuild.any_network(*any_picture.convert_transform(transform_data))
    predict_file = rebuild.any_network(*files["any_predict.safetensors"])
    transform_file = rebuild.any_network(*files["any_transform.safetensors"])
    half, facts = any_picture.convert_transform(transform_data)
    predict_half = rebuild.any_network(convert.to_dtype(any_picture.convert_predict(predict_data)[0], "float16"),
                                       files["any_predict.safetensors"][1])
    transform_half = rebuild.any_network(convert.to_dtype(half, "float16"), facts)
    predict_int8, transform_int8 = session(predict_data), session(transform_data)

    for path in sorted((arguments.samples / "paintings").glob("*.jpg")):
        print(path.stem)
        style = picture(path, (256, 256))
        style_nhwc = {"style_image": style.transpose(0, 2, 3, 1)}
        exact = predict_exact.run(None, {"image": style})[0].reshape(100)
        numbers = predict_file.run(None, {"image": style})[0].reshape(100)
        report("  100 numbers: rebuilt f32 against dequantised original graph",
               exact, predict_float.run(None, style_nhwc)[0].reshape(100))
        report("  100 numbers: committed file against f32", numbers, exact)
        report("  100 numbers: committed file against int8 original", numbers,
               predict_int8.run(None, style_nhwc)[0].reshape(100))

        def paint(network: onnxruntime.InferenceSession, vector: np.ndarray) -> np.ndarray:
            return network.run(None, {"image": content, "style": vector})[0].transpose(0, 2, 3, 1)

        def paint_original(network: onnxruntime.InferenceSession, vector: np.ndarray) -> np.ndarray:
            names = [i.name for i in network.get_inputs()]
            return network.run(None, {names[0]: nhwc, names[1]: vector.reshape(1, 1, 1, 100)})[0]

        painted = paint(transform_exact, exact)
        report("  picture: rebuilt f32 against dequantised original graph", painted,
               paint_original(transform_float, exact))
        report("  picture: committed transform, same numbers, against f32", paint(transform_file, exact), painted)
        half_numbers = predict_half.run(None, {"image": style})[0].reshape(100)
        report("  100 numbers: if the predictor were f16, against f32", half_numbers, exact)
        report("  picture: if the transform were f16, same numbers, against f32", paint(transform_half, exact), painted)
        report("  picture: if both were f16, against f32", paint(transform_half, half_numbers), painted)
        report("  picture: both committed files against f32 throughout", paint(transform_file, numbers), painted)
        report("  picture: both committed files against int8 originals throughout", paint(transform_file, numbers),
               paint_original(transform_int8, predict_int8.run(None, style_nhwc)[0]))

    full, _ = vgg.convert(sources["vgg16.safetensors"])
    print("vgg16 (f16 against f32, relative root mean square of the weights, worst layer): "
          f"{max(relative(full[n], t) for n, t in files['vgg16.safetensors'][0].items()):.1e}")
    report("vgg16: conv5_1 features of coffee 224x224, f16 against f32, relative to their std",
           *features(files["vgg16.safetensors"][0], full, picture(arguments.samples / "coffee.jpg", (224, 224))))


def relative(a: np.ndarray, b: np.ndarray) -> float:
    """Root mean square difference over root mean square."""
    return float(np.sqrt(((a - b.astype(np.float32)) ** 2).mean() / (a ** 2).mean()))


def features(a: dict[str, np.ndarray], b: dict[str, np.ndarray], photo: np.ndarray) -> list[np.ndarray]:
    """The last features of two sets of VGG weights, both divided by the standard deviation of the second."""
    mean = np.array([104.00699, 116.66877, 122.67892], np.float32).reshape(1, 3, 1, 1)
    out = []
    for tensors in (a, b):
        graph = rebuild.Graph()
        x = "image"
        for block, count in vgg.LAYERS:
            for index in range(1, count + 1):
                name = f"conv{block}_{index}"
                x = graph.conv(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1, [1] * 4, 1, False)
                x = graph.activate(x, "relu")
            if block < 5:
                x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        out.append(graph.session({"image": [1, 3, "h", "w"]}, x).run(None, {"image": photo[:, ::-1] * 255 - mean})[0])
    return [features / out[1].std() for features in out]


if __name__ == "__main__":
    main()
