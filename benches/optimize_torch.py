#!/usr/bin/env python3
"""The same optimisation in PyTorch and in allaprima: times, loss curves, memory, and what L-BFGS saves.

    cargo build --release --bin allaprima --example optimize_times
    pip install torch numpy pillow            # and, as a second peer: apt-get install python3-torch
    python benches/optimize_torch.py --peers PYTHON /usr/bin/python3

Prints one table; about three and a half minutes on two quiet cores. Each PYTHON is one that has torch and numpy (the
default is the one that runs this). All optimise a square photo towards a square painting with Adam, from the photo, with
VGG-16 to conv5_1 of models/: content relu4_2, style relu1_1 ... relu5_1, max pooling, squared total variation, a mirrored
border of 16 pixels, f32. They take turns; the table has the medians of the wall clock and of the processor time that a
step takes, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target" / "release" / "allaprima"
EXAMPLE = ROOT / "target" / "release" / "examples" / "optimize_times"
LAYERS = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2", "4_3", "5_1"]
STYLE_LAYERS = {"1_1", "2_1", "3_1", "4_1", "5_1"}
CONTENT_LAYERS = {"4_2"}
BORDER = 16
WEIGHTS = {"content": 1.0, "style": 5.0, "variation": 2.0, "range": 30.0}
PAINTING = ROOT / "samples" / "paintings" / "van_gogh_cafe_terrace_at_night.jpg"


def safetensors(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    body, header = data[8 + length :], json.loads(data[8 : 8 + length])
    kinds = {"F32": np.float32, "F16": np.float16}
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], kinds[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def gflop(side: int) -> float:
    """Of a step on a canvas, counted as plain convolutions, forward and backward."""
    total, channels, stride = 0, 3, 1
    for name in LAYERS:
        stride *= 2 if name.endswith("_1") and name != "1_1" else 1
        out = min(64 * 2 ** (int(name[0]) - 1), 512)
        total += 2 * 2 * 9 * channels * out * (side // stride) ** 2
        channels = out
    return total / 1e9


def peer(folder: Path, steps: int, rate: float, threads: int) -> None:
    """Optimises with the torch of this Python; prints losses and times as JSON."""
    import resource

    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    weights = safetensors(ROOT / "models" / "vgg16.safetensors")
    layers = [
        tuple(torch.from_numpy(weights[f"conv{name}.{kind}"].astype(np.float32)) for kind in ("weight", "bias"))
        for name in LAYERS
    ]
    mean = torch.tensor([122.67892, 116.66877, 104.00699]).reshape(1, 3, 1, 1)

    def network(x, wanted):
        features = {}
        x = (x - mean)[:, [2, 1, 0]]
        for name, (weight, bias) in zip(LAYERS, layers):
            if name.endswith("_1") and name != "1_1":
                x = F.max_pool2d(x, 2)
            x = F.relu(F.conv2d(x, weight, bias, padding=1), inplace=True)
            if name in wanted:
                features[name] = x
        return features

    def gram(features):
        flat = features.reshape(features.shape[1], -1)
        return flat @ flat.T / flat.shape[1]

    content, style = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("content", "style"))
    with torch.no_grad():
        grams = {name: gram(f) for name, f in network(style, STYLE_LAYERS).items()}
        targets = {name: f.clone() for name, f in network(content, CONTENT_LAYERS).items()}
    x = content.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([x], lr=rate)
    losses, seconds, work = [], [], []
    for _ in range(steps):
        begun, used = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        features = network(x, STYLE_LAYERS | CONTENT_LAYERS)
        loss = sum(WEIGHTS["style"] / len(grams) * ((gram(features[n]) - g) ** 2).sum() / (g**2).sum() for n, g in grams.items())
        loss = loss + sum(WEIGHTS["content"] * ((features[n] - t) ** 2).sum() / (t**2).sum() for n, t in targets.items())
        pixels = x.shape[2] * x.shape[3] * 255.0**2
        across, down = x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]
        loss = loss + WEIGHTS["variation"] * ((across**2).sum() + (down**2).sum()) / pixels
        loss = loss + WEIGHTS["range"] * ((x - x.clamp(0, 255)) ** 2).sum() / pixels
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        seconds.append(time.perf_counter() - begun)
        work.append(time.process_time() - used)
    side = 1024
    a = torch.rand(side, side)
    a @ a
    begun = time.process_time()
    for _ in range(8):
        a @ a
    product = 8 * 2 * side**3 / (time.process_time() - begun) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"torch": torch.__version__, "losses": losses, "seconds": seconds, "processor_seconds": work,
                      "peak_rss_mib": peak, "product_gflops": product}))


def run(command: list, threads: int) -> dict:
    environment = os.environ | {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def square(path: Path, side: int):
    from PIL import Image

    image = Image.open(path).convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)


def compare(folder: Path, size: int, args) -> None:
    side = size - 2 * BORDER
    for name, path in (("content", ROOT / "samples" / "chelsea.png"), ("style", PAINTING)):
        image = square(path, side)
        image.save(folder / f"{name}.png")
        pixels = np.pad(np.asarray(image, np.float32), ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="reflect")
        np.save(folder / f"{name}.npy", pixels.transpose(2, 0, 1)[None].copy())
    steps = args.steps if size <= 256 else max(3, args.steps // 2)
    ours = [EXAMPLE, folder / "content.png", folder / "style.png", steps, "gatys", "adam", args.rate]
    commands = {"allaprima": ours} | {
        python: [python, __file__, "--peer", folder, "--steps", steps, "--rate", args.rate, "--threads", args.threads]
        for python in args.peers
    }
    results: dict[str, list[dict]] = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            results[name].append(run(command, args.threads))

    def middle(name: str, what: str) -> float:
        # The first step of each run warms up.
        return float(np.median(np.concatenate([result[what][1:] for result in results[name]])))

    own = [middle("allaprima", what) for what in ("seconds", "processor_seconds")]
    rate = gflop(size) / own[1]
    print(f"| {size}x{size} | allaprima | {own[0]:.3f} s | {own[1]:.3f} s | {rate:.0f} GFLOP per processor second |"
          f" {results['allaprima'][0]['peak_rss_mib']:.0f} MiB |")
    for python in args.peers:
        theirs = [middle(python, what) for what in ("seconds", "processor_seconds")]
        first = results[python][0]
        product = np.median([result["product_gflops"] for result in results[python]])
        apart = max(abs(a / b - 1) for a, b in zip(results["allaprima"][0]["losses"], first["losses"]))
        print(f"| | torch {first['torch']} | {theirs[0]:.3f} s = {theirs[0] / own[0]:.2f}x | {theirs[1]:.3f} s ="
              f" {theirs[1] / own[1]:.2f}x | losses {100 * apart:.3f} % apart; its matrix products {product:.0f} GFLOP per"
              f" processor second, allaprima's step {rate / product:.2f} of that | {first['peak_rss_mib']:.0f} MiB |")
    sys.stdout.flush()


def lbfgs(folder: Path, threads: int) -> None:
    square(ROOT / "samples" / "astronaut.jpg", 192).save(folder / "content.png")
    adam = run([EXAMPLE, folder / "content.png", PAINTING, 300, "usual", "adam", 4], threads)
    coarse = run([EXAMPLE, folder / "content.png", PAINTING, 70, "usual", "coarse"], threads)
    goal, reached = adam["losses"][-1], coarse["losses"]
    enough = next((i for i, loss in enumerate(reached) if loss <= goal), len(reached) - 1)
    times = {}
    for what in ("seconds", "processor_seconds"):
        times[what] = sum(coarse[what][: enough + 1]) / sum(adam[what])
    print(f"| 224x224 | Adam, 300 steps | {sum(adam['seconds']):.1f} s | {sum(adam['processor_seconds']):.1f} s | loss {goal:.4f} | |")
    print(f"| | L-BFGS from half size, {enough + 1} steps | {times['seconds']:.3f}x | {times['processor_seconds']:.3f}x |"
          f" loss {reached[enough]:.4f} | |")
    sys.stdout.flush()


def memory(folder: Path) -> None:
    from PIL import Image

    for width, height, steps in ((512, 512, 3), (1920, 1080, 2)):
        photo = Image.open(ROOT / "samples" / "chelsea.png").convert("RGB").resize((width, height))
        photo.save(folder / "photo.png")
        command = [PROGRAM, "image", folder / "photo.png", "-o", folder / "painted.png", "--engine", "optimize",
                   "--style-image", PAINTING, "--iterations", steps, "--json", "--quiet", "--overwrite"]
        begun = time.perf_counter()
        result = run(command, 2)
        print(f"| {width}x{height} | `image --engine optimize --iterations {steps}` | {time.perf_counter() - begun:.1f} s | | |"
              f" {result['peak_rss_mib']:.0f} MiB |")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", default=[sys.executable])
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=4.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parts", nargs="+", default=["steps", "lbfgs", "memory"])
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return peer(args.peer, args.steps, args.rate, args.threads)
    begun = time.perf_counter()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    print(f"{model[1] if model else 'processor unknown'}, {args.threads} threads, load {os.getloadavg()[0]:.1f}\n")
    print("| canvas | | wall clock | processor time | | peak memory |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "steps" in args.parts:
            for size in args.sizes:
                compare(folder, size, args)
        if "lbfgs" in args.parts:
            lbfgs(folder, args.threads)
        if "memory" in args.parts:
            memory(folder)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
