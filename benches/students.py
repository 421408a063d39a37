#!/usr/bin/env python3
"""How near the networks of our own come to the network of 26 styles: colours, strokes, texture.

    pip install torch numpy pillow
    cargo build --release
    benches/students.py [--qualities fine swift] [--styles 26] [PHOTO ...]

Every photo is painted in every style by the reference and by each student. Printed are means over photos and styles, and the worst
style: the difference of the colours (0..1); the energy of four octaves of detail (Laplacian pyramid, mean magnitude, finest first) as
parts of the reference's; and the ratio of the style losses. A style loss wants the style's painting, which nobody has here: in its
place stand the Gram matrices (VGG-16, relu1_2 ... relu4_3) of the reference's paintings of the *other* photos, and the loss of a painting
is its distance from their mean in parts of that mean's norm. A ratio of 1 says: as much in the style as the reference itself.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="*", type=Path,
                        default=[ROOT / "samples" / n for n in ("astronaut.jpg", "coffee.jpg", "chelsea.png")])
    parser.add_argument("--qualities", nargs="+", default=["fine", "swift"])
    parser.add_argument("--styles", type=int, default=26)
    arguments = parser.parse_args()
    network = vgg()
    loss = {quality: np.zeros((arguments.styles, len(arguments.photos))) for quality in ["reference", *arguments.qualities]}
    apart = {quality: np.zeros(arguments.styles) for quality in arguments.qualities}
    detail = {quality: np.zeros((arguments.styles, OCTAVES)) for quality in arguments.qualities}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for style in range(arguments.styles):
            paintings: dict[str, list[np.ndarray]] = {}
            for quality in loss:
                for number, photo in enumerate(arguments.photos):
                    out = Path(folder) / f"{quality}-{number}.png"
                    subprocess.run([PROGRAM, "image", photo, "-o", out, "--style", str(style), "--quality", quality,
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
    print("| network | difference, mean (worst) | detail, mean | least octave of any style | style loss, ratio of means (worst style) |")
    print("|---|---|---|---|---|")
    for quality in arguments.qualities:
        ratios = loss[quality].mean(1) / loss["reference"].mean(1)
        print(f"| {quality} | {apart[quality].mean():.3f} ({apart[quality].max():.3f}) | "
              f"{' '.join(f'{v:.2f}' for v in detail[quality].mean(0))} | {detail[quality].min():.2f} | "
              f"{loss[quality].mean() / loss['reference'].mean():.2f} ({ratios.max():.2f}, style {ratios.argmax()}) |")


if __name__ == "__main__":
    main()
