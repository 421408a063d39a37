#!/usr/bin/env python3
"""The network of 26 styles on an NVIDIA card: allaprima against PyTorch, in one run.

    ./x build-cuda
    python benches/cuda_torch.py [--sizes 1920x1080,3840x2160] [--json]

PyTorch runs the same weights in channels-last half precision under `torch.compile` (max-autotune where it works) and is timed
by events on the card; allaprima is `bench --device cuda --layers`, whose times are the card's too. They take turns. Some five
minutes on a card, most of them compilation. `--device cpu` checks the PyTorch network against allaprima's painting where there
is no card (no times).
"""

from __future__ import annotations

import argparse
import json
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/release/allaprima"
RUNS = 50
STYLE = 19


def tensors(path: Path) -> dict[str, torch.Tensor]:
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8:8 + size])
    kinds = {"F16": np.float16, "F32": np.float32}
    found = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            values = np.frombuffer(raw[8 + size + start:8 + size + end], kinds[entry["dtype"]])
            found[name] = torch.from_numpy(values.reshape(entry["shape"]).astype(np.float32))
    return found


class Network(torch.nn.Module):
    """Dumoulin et al. 2017 with one style."""

    def __init__(self, file: dict[str, torch.Tensor], style: int):
        super().__init__()
        names = ["contract.0", "contract.1", "contract.2", *(f"residual.{i}.{k}" for i in range(6) for k in (0, 1)),
                 "expand.0", "expand.1", "expand.2"]
        self.names = names
        for name in names:
            key = name.replace(".", "_")
            self.register_buffer(f"{key}_weight", file[f"{name}.weight"])
            for kind in ("scale", "shift"):
                self.register_buffer(f"{key}_{kind}", file[f"{name}.norm.{kind}"][style])

    def layer(self, x: torch.Tensor, name: str, relu: bool = True) -> torch.Tensor:
        key = name.replace(".", "_")
        weight = getattr(self, f"{key}_weight")
        side = weight.shape[-1]
        stride = 2 if name in ("contract.1", "contract.2") else 1
        if name in ("expand.0", "expand.1"):
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        x = F.conv2d(F.pad(x, (side // 2,) * 4, mode="reflect"), weight, stride=stride)
        x = F.instance_norm(x, weight=getattr(self, f"{key}_scale"), bias=getattr(self, f"{key}_shift"), eps=1e-5)
        return F.relu(x) if relu else x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.names[:3]:
            x = self.layer(x, name)
        for i in range(6):
            x = x + self.layer(self.layer(x, f"residual.{i}.0"), f"residual.{i}.1", relu=False)
        for name in ("expand.0", "expand.1"):
            x = self.layer(x, name)
        return torch.sigmoid(self.layer(x, "expand.2", relu=False))


def check() -> None:
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        photo, painted = Path(folder) / "photo.png", Path(folder) / "painted.png"
        Image.open(ROOT / "samples/coffee.jpg").convert("RGB").resize((320, 240)).save(photo)
        subprocess.run([PROGRAM, "image", photo, "-o", painted, "--style", str(STYLE), "--precision", "f32", "--device", "cpu",
                        "--quiet"], check=True)
        ours = np.asarray(Image.open(painted).convert("RGB"), np.float32)
        x = torch.from_numpy(np.asarray(Image.open(photo), np.float32) / 255).permute(2, 0, 1)[None]
        theirs = Network(tensors(ROOT / "models/multistyle26.safetensors"), STYLE)(x)[0].permute(1, 2, 0).numpy() * 255
        print(f"PyTorch and allaprima differ by {np.abs(ours - theirs).mean():.3f} of 255 in the mean")


def torch_times(sizes: list[tuple[int, int]]) -> dict[str, dict]:
    network = Network(tensors(ROOT / "models/multistyle26.safetensors"), STYLE).cuda().half().to(memory_format=torch.channels_last)
    found: dict[str, dict] = {}
    for width, height in sizes:
        x = torch.rand(1, 3, height, width, device="cuda").half().to(memory_format=torch.channels_last)
        times: dict[str, float] = {}
        for mode in ("eager", "default", "max-autotune"):
            try:
                model = network if mode == "eager" else torch.compile(network, mode=mode)
                with torch.inference_mode():
                    for _ in range(5):
                        model(x)
                    torch.cuda.synchronize()
                    marks = [torch.cuda.Event(enable_timing=True) for _ in range(RUNS + 1)]
                    marks[0].record()
                    for mark in marks[1:]:
                        model(x)
                        mark.record()
                    torch.cuda.synchronize()
                times[mode] = statistics.median(a.elapsed_time(b) for a, b in zip(marks, marks[1:]))
            except Exception as error:  # A mode that this PyTorch cannot do is left out, and said.
                print(f"{width}x{height} {mode}: {str(error).splitlines()[0]}", file=sys.stderr)
            torch._dynamo.reset()
        found[f"{width}x{height}"] = times
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="1920x1080,3840x2160")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        return check()
    sizes = [tuple(int(side) for side in size.split("x")) for size in arguments.sizes.split(",")]
    command = [PROGRAM, "bench", "--device", "cuda", "--layers", "--sizes", arguments.sizes, "--style", str(STYLE)]
    ours = [json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout)]
    theirs = torch_times(sizes)
    ours.append(json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout))
    print(f"{ours[0]['card']}; torch {torch.__version__}")
    print("| size | allaprima, before and after | PyTorch eager | compiled | max-autotune | best of PyTorch / allaprima |\n|---|---|---|---|---|---|")
    for index, (name, times) in enumerate(theirs.items()):
        own = [run["sizes"][index]["device_ms"] for run in ours]
        cells = [f"{times[mode]:.3f} ms" if mode in times else "-" for mode in ("eager", "default", "max-autotune")]
        print(f"| {name} | {own[0]:.3f}, {own[1]:.3f} ms | {' | '.join(cells)} | {min(times.values()) / min(own):.2f}x |")
    if arguments.json:
        print(json.dumps({"allaprima": ours, "torch": theirs}))


if __name__ == "__main__":
    main()
