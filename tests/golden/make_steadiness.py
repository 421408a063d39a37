#!/usr/bin/env python3
"""Makes steadiness.safetensors: small films with stored flow, and what the independent script steadiness.py says of them.

    make_steadiness.py PATH_TO/steadiness.py OUTPUT.safetensors        (needs numpy, opencv-python-headless, safetensors)

A window wanders over samples/coffee.jpg with a patch of samples/chelsea.png moving across it: the input. The "painting"
is the input with strong noise per frame and contrast, the "steady" film a blend along the motion. Flow and mask are the yardstick's own.
"""
import importlib.util
import json
import pathlib
import sys

import cv2
import numpy as np
from safetensors.numpy import save_file

spec = importlib.util.spec_from_file_location("steadiness", sys.argv[1])
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
samples = pathlib.Path(__file__).parents[2] / "samples"
W, H, N = 112, 80, 5
coffee, cat = (cv2.imread(str(samples / name)) for name in ("coffee.jpg", "chelsea.png"))
coffee, cat = cv2.resize(coffee, (300, 200), interpolation=cv2.INTER_AREA), cv2.resize(cat, (75, 50), interpolation=cv2.INTER_AREA)[8:40, 10:60]
films = {"input": [], "baseline": [], "stylised": []}
random = np.random.default_rng(4)
for t in range(N):
    view = cv2.getRectSubPix(coffee, (W, H), (100 + 1.7 * t, 90 + 0.6 * t)).copy()
    view[20:52, 10 + 5 * t : 60 + 5 * t] = cat
    films["input"].append(view)
    painting = 40 + 0.6 * view + cv2.GaussianBlur(random.normal(0, 60, view.shape), (0, 0), 1.0)
    films["baseline"].append(np.clip(painting, 0, 255).astype(np.uint8))
motion = tool.flows(films["input"])
assert all(motion)
steady = films["baseline"][0].astype(np.float32)
films["stylised"].append(films["baseline"][0])
for t, (back, ok) in enumerate(motion, start=1):
    share = np.where(ok, 0.7, 0.4)[..., None]  # where it should not: so that there is a lag to measure
    steady = films["baseline"][t] * (1 - share) + tool.warp(steady, back) * share
    films["stylised"].append(np.clip(steady, 0, 255).astype(np.uint8))
ours, theirs = (np.mean([tool.octaves(f) for f in films[k]], axis=0) for k in ("stylised", "baseline"))
expected = {
    "e_stab": tool.e_stab(films["stylised"], motion),
    "e_stab_input": tool.e_stab(films["input"], motion),
    "e_stab_baseline": tool.e_stab(films["baseline"], motion),
    "texture": [float(x) for x in ours / theirs],
    "lag": tool.lag(films["stylised"], films["baseline"], motion),
}
tensors = {k: np.ascontiguousarray(np.stack(v)[..., ::-1]) for k, v in films.items()}
tensors["flow"] = np.stack([back for back, _ in motion]).astype(np.float32)
tensors["consistent"] = np.stack([ok for _, ok in motion]).astype(np.uint8)
save_file(tensors, sys.argv[2], metadata={"expected": json.dumps(expected)})
print(json.dumps(expected))
