#!/usr/bin/env python3
"""The same optimisation in PyTorch and in allaprima: loss curves and times, two threads, turn and turn about.

    cargo build --release --example optimize_times
    pip install torch numpy pillow safetensors
    python benches/optimize_torch.py [--sizes 256 512] [--steps 20] [--rounds 3]

Both optimise a square photo towards a square painting with Adam, from the photo, with VGG-16 to conv5_1 of models/:
content relu4_2, style relu1_1 ... relu5_1, squared total variation, a mirrored border of 16 pixels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1"]
STYLE_LAYERS = {"1_1", "2_1", "3_1", "4_1", "5_1"}
CONTENT_LAYERS = {"4_2"}
BORDER = 16


class Network:
    """VGG-16 to conv5_1, features after each ReLU."""

    def __init__(self) -> None:
        weights = load_file(ROOT / "models" / "vgg16.safetensors")
        self.layers = [
            tuple(torch.from_numpy(weights[f"conv{name}.{kind}"].astype(np.float32)) for kind in ("weight", "bias"))
            for name in LAYERS
        ]
        self.mean = torch.tensor([122.67892, 116.66877, 104.00699]).reshape(1, 3, 1, 1)

    def __call__(self, x: torch.Tensor, wanted: set[str]) -> dict[str, torch.Tensor]:
        features = {}
        x = (x - self.mean)[:, [2, 1, 0]]
        for name, (weight, bias) in zip(LAYERS, self.layers):
            if name.endswith("_1") and name != "1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, weight, bias, padding=1), inplace=True)
            if name in wanted:
                features[name] = x
        return features


def gram(features: torch.Tensor) -> torch.Tensor:
    flat = features.reshape(features.shape[1], -1)
    return flat @ flat.T / flat.shape[1]


def load(path: Path, side: int) -> Image.Image:
    image = Image.open(path).convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)


def tensor(image: Image.Image) -> torch.Tensor:
    pixels = np.pad(np.asarray(image, np.float32), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="reflect")
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].copy())


def optimise(network: Network, content: torch.Tensor, style: torch.Tensor, steps: int, rate: float,
             weights: dict[str, float]) -> tuple[list[float], list[float]]:
    """Loss before, and time of, each step."""
    with torch.no_grad():
        grams = {name: gram(f) for name, f in network(style, STYLE_LAYERS).items()}
        targets = {name: f.clone() for name, f in network(content, CONTENT_LAYERS).items()}
    x = content.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([x], lr=rate)
    losses, seconds = [], []
    for _ in range(steps):
        begun = time.perf_counter()
        optimizer.zero_grad()
        features = network(x, STYLE_LAYERS | CONTENT_LAYERS)
        loss = sum(weights["style"] / len(grams) * ((gram(features[n]) - g) ** 2).sum() / (g**2).sum() for n, g in grams.items())
        loss = loss + sum(weights["content"] * ((features[n] - t) ** 2).sum() / (t**2).sum() for n, t in targets.items())
        pixels = x.shape[2] * x.shape[3] * 255.0**2
        across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
        loss = loss + weights["variation"] * ((across**2).sum() + (down**2).sum()) / pixels
        loss = loss + weights["range"] * ((x - x.clamp(0, 255)) ** 2).sum() / pixels
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        seconds.append(time.perf_counter() - begun)
    return losses, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=json.loads, default={"content": 1, "style": 5, "variation": 2, "range": 30})
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    network = Network()
    program = ROOT / "target" / "release" / "examples" / "optimize_times"
    print(f"torch {torch.__version__}, {args.threads} threads, Adam {args.rate}")
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            side = size - 2 * BORDER
            content = load(ROOT / "samples" / "chelsea.png", side)
            style = load(ROOT / "samples" / "paintings" / "van_gogh_cafe_terrace_at_night.jpg", side)
            paths = [Path(folder) / name for name in ("content.png", "style.png")]
            content.save(paths[0])
            style.save(paths[1])
            times: dict[str, list[float]] = {"torch": [], "allaprima": []}
            for _ in range(args.rounds):
                theirs, seconds = optimise(network, tensor(content), tensor(style), args.steps, args.rate, args.weights)
                times["torch"] += seconds[1:]
                command = [program, *paths, str(args.steps), "gatys", "adam", str(args.rate)]
                result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                times["allaprima"] += result["seconds"][1:]
            ours = result["losses"]
            apart = max(abs(a - b) / b for a, b in zip(ours, theirs))
            medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
            print(f"{size}x{size}: loss {theirs[0]:.4f} -> {theirs[-1]:.4f}, ours {ours[0]:.4f} -> {ours[-1]:.4f}, "
                  f"at most {100 * apart:.3f} % apart; a step takes torch {medians['torch']:.3f} s, "
                  f"allaprima {medians['allaprima']:.3f} s: {medians['torch'] / medians['allaprima']:.2f} times; "
                  f"allaprima's peak memory {result['peak_rss_mib']:.0f} MiB")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
