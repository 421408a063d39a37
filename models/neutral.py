"""Trains the style of the 26-style network that paints a picture as it is: the end of `--strength` at 0.

A style of that network is nothing but 990 scales and shifts (Dumoulin et al., 2017), so the style "no style" is one,
too: the numbers that make the frozen network reproduce its input. They are found by Adam on crops of the pictures in
samples/, from the mean of the 26 styles, against L1 of pixels and of their Laplacian. Normalisation hides a picture's
brightness and contrast from the network, so both sides are compared with the mean and deviation of each colour taken
out; whoever paints with this style gives them back.

Needs torch 1.13 or newer and Pillow; runs some ten minutes on two cores. The result is committed
(`multistyle26_neutral.safetensors`), since no two processors train to the same bits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

import store

HERE = Path(__file__).resolve().parent
LAYERS = [
    ("contract.0", 1, False, True), ("contract.1", 2, False, True), ("contract.2", 2, False, True),
    *[(f"residual.{b}.{i}", 1, False, i == 0) for b in range(6) for i in range(2)],
    ("expand.0", 1, True, True), ("expand.1", 1, True, True), ("expand.2", 1, False, False),
]
CROP = 96
BATCH = 4


class Network(torch.nn.Module):
    """The frozen network with one trainable style."""

    def __init__(self, tensors: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.weights = {name: torch.from_numpy(tensors[f"{name}.weight"].copy()) for name, *_ in LAYERS}
        start = {f"{name}.norm.{kind}": tensors[f"{name}.norm.{kind}"].mean(axis=0)
                 for name, *_ in LAYERS for kind in ("scale", "shift")}
        self.style = torch.nn.ParameterDict(
            {key.replace(".", "_"): torch.nn.Parameter(torch.from_numpy(value.copy())) for key, value in start.items()})

    def layer(self, index: int, x: torch.Tensor) -> torch.Tensor:
        name, stride, upsample, relu = LAYERS[index]
        if upsample:
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
        weight = self.weights[name]
        half = weight.shape[2] // 2
        x = functional.conv2d(functional.pad(x, (half,) * 4, mode="reflect"), weight, stride=stride)
        key = name.replace(".", "_")
        x = functional.instance_norm(x, weight=self.style[f"{key}_norm_scale"], bias=self.style[f"{key}_norm_shift"],
                                     eps=1e-5)
        return functional.relu(x) if relu else x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for index in range(3):
            x = self.layer(index, x)
        for block in range(6):
            x = x + self.layer(4 + 2 * block, self.layer(3 + 2 * block, x))
        for index in range(15, 18):
            x = self.layer(index, x)
        return torch.sigmoid(x)


def laplacian(x: torch.Tensor) -> torch.Tensor:
    """Four neighbours less four times the pixel."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).reshape(1, 1, 3, 3).repeat(3, 1, 1, 1)
    return functional.conv2d(x, kernel, groups=3)


def standard(x: torch.Tensor) -> torch.Tensor:
    """Each colour of each picture with the mean 0 and the deviation 0.2."""
    centred = x - x.mean(dim=(2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(2, 3), keepdim=True) + 1e-4).sqrt() * 0.2


def crops(pictures: list[Image.Image], random: np.random.Generator) -> torch.Tensor:
    """A batch of random crops at random scales, some flipped."""
    batch = []
    for _ in range(BATCH):
        picture = pictures[random.integers(len(pictures))]
        side = int(random.integers(CROP, min(picture.size) + 1))
        left = int(random.integers(picture.width - side + 1))
        top = int(random.integers(picture.height - side + 1))
        crop = picture.resize((CROP, CROP), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
        pixels = np.asarray(crop, np.float32) / 255
        if random.random() < 0.5:
            pixels = pixels[:, ::-1]
        batch.append(pixels)
    return torch.from_numpy(np.stack(batch).transpose(0, 3, 1, 2).copy())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    samples = HERE.parent / "samples"
    pictures = [Image.open(path).convert("RGB")
                for path in sorted([*samples.glob("*.jpg"), *samples.glob("*.png"), *samples.glob("paintings/*.jpg")])]
    tensors, facts = store.load(HERE / "multistyle26.safetensors")
    network = Network(tensors)
    optimiser = torch.optim.Adam(network.style.parameters(), lr=2e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, arguments.steps)
    for step in range(arguments.steps):
        x = crops(pictures, random)
        y = network(x)
        a, b = standard(y), standard(x)
        # The second term keeps the result away from black and white, where the sigmoid is flat.
        loss = (a - b).abs().mean() + 0.5 * (laplacian(a) - laplacian(b)).abs().mean() + 0.2 * (y - x).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == arguments.steps - 1:
            print(f"{step:>5} L1 {float((a - b).abs().mean()):.4f} loss {float(loss):.4f}", flush=True)
            result = {key.replace("_norm_", ".norm.").replace("_", "."): value.detach().numpy()
                      for key, value in network.style.items()}
            ordered = {f"{name}.norm.{kind}": result[f"{name}.norm.{kind}"][None]
                       for name, *_ in LAYERS for kind in ("scale", "shift")}
            store.save(HERE / "multistyle26_neutral.safetensors", ordered, {
                "architecture": "conditional-instance-norm-style",
                "network": "multistyle26.safetensors",
                "made_by": "models/neutral.py, trained on the pictures in samples/",
                "licence": facts.get("licence", "Apache-2.0"),
            })


if __name__ == "__main__":
    main()
