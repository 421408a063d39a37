#!/usr/bin/env python3
"""The network of 26 styles and a step of --engine optimize on an NVIDIA card: allaprima against PyTorch, in one run.

    ./x build-cuda
    python benches/cuda_torch.py samples/bunny.mp4 [--sizes 1920x1080,3840x2160] [--json]

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


def events(run, runs: int) -> float:
    """Median milliseconds of `run` on the card."""
    for _ in range(5):
        run()
    torch.cuda.synchronize()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(runs + 1)]
    marks[0].record()
    for mark in marks[1:]:
        run()
        mark.record()
    torch.cuda.synchronize()
    return statistics.median(a.elapsed_time(b) for a, b in zip(marks, marks[1:]))


def tried(what: str, times: dict[str, float], mode: str, measure) -> None:
    """Notes the time; a mode that this PyTorch cannot do is left out, and said."""
    try:
        times[mode] = measure()
    except Exception as error:
        print(f"{what} {mode}: {str(error).splitlines()[0]}", file=sys.stderr)
    torch._dynamo.reset()


def torch_times(sizes: list[tuple[int, int]], modes: list[str]) -> dict[str, dict]:
    network = Network(tensors(ROOT / "models/multistyle26.safetensors"), STYLE).cuda().half().to(memory_format=torch.channels_last)
    found: dict[str, dict] = {}
    for width, height in sizes:
        x = torch.rand(1, 3, height, width, device="cuda").half().to(memory_format=torch.channels_last)
        times: dict[str, float] = {}

        def measure(mode: str, x=x) -> float:
            model = network if mode == "eager" else torch.compile(network, mode=mode)
            with torch.inference_mode():
                return events(lambda: model(x), RUNS)

        for mode in modes:
            tried(f"{width}x{height}", times, mode, lambda mode=mode: measure(mode))
        found[f"{width}x{height}"] = times
    return found


class Loss(torch.nn.Module):
    """What `--engine optimize` minimises: VGG-16 with mean pooling, content, style and total variation, in half precision."""

    LAYERS = ["1_1", "1_2", "2_1", "2_2", "3_1", "3_2", "3_3", "4_1", "4_2"]
    CONTENT = {"4_2": 1.0, "2_2": 0.7}
    STYLE = {"1_1": 0.6, "2_2": 0.2, "3_3": 0.2}

    def __init__(self, file: dict[str, torch.Tensor]):
        super().__init__()
        for name in self.LAYERS:
            self.register_buffer(f"w{name}", file[f"conv{name}.weight"])
            self.register_buffer(f"b{name}", file[f"conv{name}.bias"])

    def features(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        found = {}
        for name in self.LAYERS:
            if name.endswith("_1") and name != "1_1":
                x = F.avg_pool2d(x, 2)
            x = F.relu(F.conv2d(x, getattr(self, f"w{name}"), getattr(self, f"b{name}"), padding=1))
            found[name] = x
        return found

    @staticmethod
    def gram(features: torch.Tensor) -> torch.Tensor:
        flat = features.flatten(2)[0]
        return (flat @ (flat.T / flat.shape[1])).float()

    def forward(self, x: torch.Tensor, content: dict, style: dict) -> torch.Tensor:
        found = self.features(x.half().contiguous(memory_format=torch.channels_last))
        loss = 0.0
        for name, share in self.CONTENT.items():
            loss = loss + share * ((found[name] - content[name]).float() ** 2).sum() / content[f"{name} squares"]
        for name, share in self.STYLE.items():
            loss = loss + 10 * share * ((self.gram(found[name]) - style[name]) ** 2).sum() / (style[name] ** 2).sum()
        variation = ((x[..., 1:] - x[..., :-1]) ** 2).sum() + ((x[..., 1:, :] - x[..., :-1, :]) ** 2).sum()
        return loss + 14 * variation / (x.shape[2] * x.shape[3] * 255.0**2)


def torch_steps(sizes: list[tuple[int, int]], modes: list[str]) -> dict[str, dict]:
    network = Loss(tensors(ROOT / "models/vgg16.safetensors")).cuda().half().to(memory_format=torch.channels_last)
    found: dict[str, dict] = {}
    for width, height in sizes:
        times: dict[str, float] = {}
        pictures = [100 * torch.rand(1, 3, height, width, device="cuda") - 50 for _ in range(2)]
        with torch.no_grad():
            features = [network.features(picture.half().contiguous(memory_format=torch.channels_last)) for picture in pictures]
            content = {name: features[0][name] for name in Loss.CONTENT}
            content |= {f"{name} squares": (features[0][name].float() ** 2).sum() for name in Loss.CONTENT}
            style = {name: Loss.gram(features[1][name]) for name in Loss.STYLE}

        def measure(mode: str) -> float:
            loss = network if mode == "eager" else torch.compile(network, mode=mode)
            x = pictures[0].clone().requires_grad_()
            adam = torch.optim.Adam([x], lr=4.0, fused=True)

            def step() -> None:
                adam.zero_grad()
                # Scaled so that half precision holds the gradient; Adam's step does not depend on it.
                (loss(x, content, style) * (64.0 * width * height)).backward()
                adam.step()

            return events(step, 12)

        for mode in modes:
            tried(f"{width}x{height}, Adam", times, mode, lambda mode=mode: measure(mode))
        found[f"{width}x{height}"] = times
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", nargs="?", help="a film whose first picture is painted [default: the test card]")
    parser.add_argument("--sizes", default="1920x1080,3840x2160")
    parser.add_argument("--modes", default="eager,default,max-autotune", help="of PyTorch's network")
    parser.add_argument("--step-modes", default="eager,default", help="of PyTorch's optimisation")
    parser.add_argument("--program", default=PROGRAM, help="allaprima [default: %(default)s]")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        return check()
    sizes = [tuple(int(side) for side in size.split("x")) for size in arguments.sizes.split(",")]
    command = [arguments.program, "bench", *filter(None, [arguments.input]), "--device", "cuda", "--layers",
               "--sizes", arguments.sizes, "--style", str(STYLE), "--json"]

    def own() -> dict:
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    ours = [own()]
    theirs = torch_times(sizes, arguments.modes.split(","))
    steps = torch_steps([(512, 512), sizes[0]], arguments.step_modes.split(","))
    ours.append(own())
    print(f"{ours[0]['card']}; torch {torch.__version__}")

    def table(title: str, found: dict[str, dict], own: dict[str, list[float]]) -> None:
        modes = list(dict.fromkeys(mode for times in found.values() for mode in times))
        print(f"| {title} | allaprima, before and after | {' | '.join(f'PyTorch {mode}' for mode in modes)} | best / allaprima |")
        print("|---" * (len(modes) + 3) + "|")
        for name, times in found.items():
            cells = [f"{times[mode]:.3f} ms" if mode in times else "-" for mode in modes]
            mine = own[name]
            print(f"| {name} | {mine[0]:.3f}, {mine[1]:.3f} ms | {' | '.join(cells)} | {min(times.values()) / min(mine):.2f}x |")

    table("painting", theirs, {name: [run["sizes"][i]["device_ms"] for run in ours] for i, name in enumerate(theirs)})
    ours_steps = {name: [step["ms"] for run in ours for step in run["optimize"]
                         if step["method"] == "Adam" and f"{step['width']}x{step['height']}" == name] for name in steps}
    table("a step of Adam", steps, ours_steps)
    if arguments.json:
        print(json.dumps({"allaprima": ours, "torch": theirs, "torch steps": steps}))


if __name__ == "__main__":
    main()
