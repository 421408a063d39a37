#!/usr/bin/env python3
"""How near the networks of our own come to the network of 26 styles: colours, strokes, texture.

    pip install torch numpy pillow
    cargo build --release
    benches/students.py [--qualities fine swift PACK.safetensors ...] [--styles 26] [--plot FILE.png] [PHOTO ...]

Every photo is painted in every style by the reference and by each student. Printed are means over photos and styles, and the worst
style: the difference of the colours (0..1); the energy of four octaves of detail (Laplacian pyramid, mean magnitude, finest first) as
parts of the reference's; and the ratio of the style losses. A style loss wants the style's painting, which nobody has here: in its
place stand the Gram matrices (VGG-16, relu1_2 ... relu4_3) of the reference's paintings of the *other* photos, and the loss of a painting
is its distance from their mean in parts of that mean's norm. A ratio of 1 says: as much in the style as the reference itself.
`--plot` sets difference, style loss and detail against the time that a painting of 640x360 takes (`allaprima bench`, medians of three
runs in turn), the reference's being 1.
"""

import argparse
import json
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/allaprima"
OCTAVES = 4


def vgg() -> list[list[tuple[torch.Tensor, torch.Tensor]]]:
    """The convolutions of each block up to conv4_3."""
    raw = (ROOT / "models/vgg16.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    def tensor(name: str) -> torch.Tensor:
        start, end = header[name]["data_offsets"]
        kind = {"F16": np.float16, "F32": np.float32}[header[name]["dtype"]]
        values = np.frombuffer(raw[8 + size + start:8 + size + end], kind).astype(np.float32)
        return torch.from_numpy(values.reshape(header[name]["shape"]))
    blocks = [2, 2, 3, 3]
    return [[(tensor(f"conv{b + 1}_{n + 1}.weight"), tensor(f"conv{b + 1}_{n + 1}.bias")) for n in range(count)]
            for b, count in enumerate(blocks)]


def grams(network: list, picture: np.ndarray) -> list[torch.Tensor]:
    mean = torch.tensor([104.00699, 116.66877, 122.67892]).reshape(1, 3, 1, 1)
    x = torch.from_numpy(picture[:, :, ::-1].copy()).permute(2, 0, 1)[None].float() - mean
    found = []
    for number, block in enumerate(network):
        if number:
            x = F.max_pool2d(x, 2)
        for weight, bias in block:
            x = F.relu(F.conv2d(x, weight, bias, padding=1))
        flat = x.flatten(2)[0]
        found.append(flat @ flat.T / flat.shape[1])
    return found


def energies(picture: np.ndarray) -> list[float]:
    x = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
    found = []
    for _ in range(OCTAVES):
        small = F.avg_pool2d(x, 2)
        found.append((x - F.interpolate(small, size=x.shape[2:], mode="bilinear")).abs().mean().item())
        x = small
    return found


def named(quality: str, style: int) -> list[str]:
    """The options that paint in this style by a network that comes with the program, or by a style pack of one's own."""
    if not quality.endswith(".safetensors"):
        return ["--style", str(style), "--quality", quality]
    listed = json.loads(subprocess.run([PROGRAM, "styles", quality, "--json"], check=True, capture_output=True, text=True).stdout)
    return ["--style", f"{quality}:{listed[style]['name']}"]


def times(qualities: list[str]) -> dict[str, float]:
    """Milliseconds of a painting of 640x360."""
    found: dict[str, list[float]] = {quality: [] for quality in qualities}
    for _ in range(3):
        for quality, values in found.items():
            out = subprocess.run([PROGRAM, "bench", ROOT / "samples/bunny.mp4", "--sizes", "640x360", "--steady", "off", "--json",
                                  *named(quality, 0)], check=True, capture_output=True, text=True).stdout
            values.append(json.loads(out)["sizes"][0]["paint"]["p50_ms"])
    return {quality: float(np.median(values)) for quality, values in found.items()}


def plot(path: Path, took: dict[str, float], figures: dict[str, tuple[float, float, float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4))
    titles = ("difference from the reference (L1, 0..1)", "style loss, reference = 1", "detail, least of four octaves, reference = 1")
    for axis, title, place in zip(axes, titles, range(3)):
        for quality, values in figures.items():
            name = Path(quality).stem
            axis.plot(took[quality] / took["reference"], values[place], "o" if "/" in quality else "s")
            axis.annotate(name, (took[quality] / took["reference"], values[place]), fontsize=8, xytext=(4, 4), textcoords="offset points")
        axis.set_title(title, fontsize=9), axis.set_xlabel("time of a painting, reference = 1"), axis.grid(alpha=0.3)
    figure.tight_layout(), figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*", type=Path,
                        default=[ROOT / "samples" / n for n in ("astronaut.jpg", "coffee.jpg", "chelsea.png")])
    parser.add_argument("--qualities", nargs="+", default=["fine", "swift"])
    parser.add_argument("--styles", type=int, default=26)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    if len(arguments.photos) < 2:
        parser.error("the style loss is judged by the paintings of the other photos: name two photos or more")
    network = vgg()
    loss = {quality: np.zeros((arguments.styles, len(arguments.photos))) for quality in ["reference", *arguments.qualities]}
    apart = {quality: np.zeros(arguments.styles) for quality in arguments.qualities}
    detail = {quality: np.zeros((arguments.styles, OCTAVES)) for quality in arguments.qualities}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for style in range(arguments.styles):
            paintings: dict[str, list[np.ndarray]] = {}
            for quality in loss:
                for photo in arguments.photos:
                    out = Path(folder) / "painting.png"
                    subprocess.run([PROGRAM, "image", photo, "-o", out, *named(quality, style),
                                    "--max-size", "512", "--overwrite", "--quiet"], check=True)
                    paintings.setdefault(quality, []).append(np.asarray(Image.open(out).convert("RGB")))
            matrices = {quality: [grams(network, picture) for picture in pictures] for quality, pictures in paintings.items()}
            for number in range(len(arguments.photos)):
                others = [g for n, g in enumerate(matrices["reference"]) if n != number]
                wanted = [torch.stack(layer).mean(0) for layer in zip(*others)]
                for quality in loss:
                    loss[quality][style, number] = sum((((g - w) ** 2).sum() / (w ** 2).sum()).item()
                                                       for g, w in zip(matrices[quality][number], wanted))
            for quality in arguments.qualities:
                pairs = list(zip(paintings[quality], paintings["reference"]))
                apart[quality][style] = np.mean([np.abs(a.astype(float) - b).mean() / 255 for a, b in pairs])
                detail[quality][style] = np.mean([np.divide(energies(a), energies(b)) for a, b in pairs], axis=0)
    took = times(["reference", *arguments.qualities]) if arguments.plot else {}
    print("| network | difference, mean (worst) | detail, mean | least octave of any style | style loss, ratio of means (worst style) |"
          + (" a painting of 640x360 |" if took else ""))
    print("|---|---|---|---|---|" + ("---|" if took else ""))
    if arguments.plot:
        plot(arguments.plot, took, {q: (apart[q].mean(), loss[q].mean() / loss["reference"].mean(), detail[q].mean(0).min())
                                    for q in arguments.qualities})
    for quality in arguments.qualities:
        ratios = loss[quality].mean(1) / loss["reference"].mean(1)
        print(f"| {quality} | {apart[quality].mean():.3f} ({apart[quality].max():.3f}) | "
              f"{' '.join(f'{v:.2f}' for v in detail[quality].mean(0))} | {detail[quality].min():.2f} | "
              f"{loss[quality].mean() / loss['reference'].mean():.2f} ({ratios.max():.2f}, style {ratios.argmax()}) |"
              + (f" {took[quality]:.1f} ms = 1 / {took['reference'] / took[quality]:.2f} |" if took else ""))


if __name__ == "__main__":
    main()
