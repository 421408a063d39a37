#!/usr/bin/env python3
"""Compare allaprima's optical flow with OpenCV's DIS: accuracy on known motion, photometric error on film, speed.

    pip install numpy opencv-python-headless
    cargo build --release --example flow_times
    python benches/flow_opencv.py accuracy                      average endpoint error, pairs with exactly known motion
    python benches/flow_opencv.py film samples/bunny.mp4 ...    photometric warp error on clips
    python benches/flow_opencv.py speed samples/bunny.mp4       milliseconds, both programs in turns on the same pairs

Both run with two threads. Options: --presets ultrafast,fast,medium  --threads 2  --pairs N  --scale full|half
"""
import argparse
import os
import subprocess
import tempfile
import time

import cv2
import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PRESETS = {"ultrafast": 0, "fast": 1, "medium": 2}


class Ours:
    """The example program, kept running over one set of frames."""

    def __init__(self, frames, preset, scale, threads, folder):
        self.shape = frames[0].shape
        self.folder = folder
        raw = tempfile.mkstemp(suffix=".raw", dir=folder)[1]
        np.stack(frames).tofile(raw)
        binary = os.environ.get("FLOW_TIMES", os.path.join(ROOT, "target", "release", "examples", "flow_times"))
        command = [binary, str(self.shape[1]), str(self.shape[0]), preset, scale, str(threads), raw]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def between(self, a, b):
        file = os.path.join(self.folder, "flow.f32")
        millis = self.ask(f"between {a} {b} {file}")
        return np.fromfile(file, np.float32).reshape(2, *self.shape).transpose(1, 2, 0), millis

    def push(self, a):
        file = os.path.join(self.folder, "motion.f32")
        self.ask(f"push {a} {file}")
        if not os.path.exists(file):
            return None
        h, w = self.shape
        data = np.fromfile(file, np.float32, 5 * h * w).reshape(5, h, w)
        mask = np.fromfile(file, np.uint8, offset=20 * h * w).reshape(h, w)
        os.remove(file)
        return data[:2].transpose(1, 2, 0), data[2:4].transpose(1, 2, 0), data[4], mask

    def close(self):
        self.process.stdin.close()
        self.process.wait()


# Pairs with exactly known motion -------------------------------------------------------------------------------------

def textures():
    folder = os.path.join(ROOT, "samples")
    names = ["astronaut.jpg", "chelsea.png", "coffee.jpg", "paintings/van_gogh_harvest_at_la_crau.jpg",
             "paintings/van_gogh_night_cafe.jpg"]
    return {os.path.splitext(os.path.basename(n))[0]: cv2.imread(os.path.join(folder, n)).astype(np.float32) for n in names}


def sample(texture, x, y):
    """The texture, enlarged so that it has no detail finer than a pixel, at positions relative to its centre."""
    h, w = texture.shape[:2]
    x, y = x + w / 2, y + h / 2
    return cv2.remap(texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)


def grid(w, h):
    x, y = np.meshgrid(np.arange(w, dtype=np.float64), np.arange(h, dtype=np.float64))
    return x - (w - 1) / 2, y - (h - 1) / 2


def affine_pair(texture, w, h, matrix, shift):
    """Second picture = first moved by p → M p + s; the flow of the first picture is M p + s - p."""
    x, y = grid(w, h)
    first = sample(texture, x, y)
    inverse = np.linalg.inv(matrix)
    x2, y2 = x - shift[0], y - shift[1]
    second = sample(texture, inverse[0, 0] * x2 + inverse[0, 1] * y2, inverse[1, 0] * x2 + inverse[1, 1] * y2)
    flow = np.stack([matrix[0, 0] * x + matrix[0, 1] * y + shift[0] - x, matrix[1, 0] * x + matrix[1, 1] * y + shift[1] - y], -1)
    return first, second, flow, np.ones((h, w), bool)


def layered_pair(background, patches, w, h, seed):
    """Ellipses with their own texture over a moving background; hidden pixels are marked, not judged."""
    rng = np.random.default_rng(seed)
    x, y = grid(w, h)
    move = rng.uniform(-4, 4, 2)
    first, second = sample(background, x, y), sample(background, x - move[0], y - move[1])
    flow = np.broadcast_to(move, (h, w, 2)).copy()
    visible = np.ones((h, w), bool)
    scale = w / 640
    for texture in patches:
        centre = rng.uniform(-0.35, 0.35, 2) * [w, h]
        radius = rng.uniform(40, 90, 2) * scale
        shift = rng.uniform(-10, 10, 2)
        inside = lambda px, py: ((px - centre[0]) / radius[0]) ** 2 + ((py - centre[1]) / radius[1]) ** 2
        alpha = lambda d: np.clip((1 - d) * radius.min() / 2 + 0.5, 0, 1)[..., None]
        a0, a1 = alpha(inside(x, y)), alpha(inside(x - shift[0], y - shift[1]))
        first = first * (1 - a0) + a0 * sample(texture, x - centre[0], y - centre[1])
        second = second * (1 - a1) + a1 * sample(texture, x - shift[0] - centre[0], y - shift[1] - centre[1])
        on = a0[..., 0] > 0.5
        flow[on] = shift
        visible[on] = True
        # Where what is under this layer now would stand in the second picture, and whether this layer hides it there.
        hidden = inside(x + flow[..., 0] - shift[0], y + flow[..., 1] - shift[1]) < 1
        visible &= on | ~hidden
    return first, second, flow, visible


def scenes(w, h):
    result = []
    t = {k: cv2.resize(v, None, fx=f, fy=f, interpolation=cv2.INTER_CUBIC)
         for k, v in textures().items() for f in [1.3 * w / v.shape[1]]}
    items = list(t.items())
    for name, texture in items:
        for dx, dy in [(0.3, -0.6), (3.4, 1.7), (-12.5, 6.2), (31, -9)]:
            result.append(("shift", affine_pair(texture, w, h, np.eye(2), (dx, dy))))
        for zoom in [1.02, 0.95, 1.08]:
            result.append(("zoom", affine_pair(texture, w, h, np.eye(2) * zoom, (0.7, 0.2))))
        for angle in [1, -3, 6]:
            c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
            result.append(("rotate", affine_pair(texture, w, h, np.array([[c, -s], [s, c]]), (1.2, -2.1))))
    for seed in range(10):
        background = items[seed % len(items)][1]
        others = [items[(seed + k) % len(items)][1] for k in (1, 2, 3, 4)]
        result.append(("layers", layered_pair(background, others, w, h, seed)))
    rng = np.random.default_rng(7)
    out = []
    for kind, (first, second, flow, visible) in result:
        noise = lambda im: cv2.cvtColor(np.clip(np.round(im), 0, 255).astype(np.uint8), cv2.COLOR_BGR2GRAY).astype(np.float32)
        a, b = noise(first) + rng.normal(0, 1, flow.shape[:2]), noise(second) + rng.normal(0, 1, flow.shape[:2])
        x, y = np.meshgrid(np.arange(w), np.arange(h))
        tx, ty = x + flow[..., 0], y + flow[..., 1]
        visible = visible & (tx >= 0) & (tx <= w - 1) & (ty >= 0) & (ty <= h - 1)
        quantise = lambda im: np.clip(np.round(im), 0, 255).astype(np.uint8)
        out.append((kind, quantise(a), quantise(b), flow, visible))
    return out


def accuracy(args, folder):
    w, h = args.size
    print(f"average endpoint error, pixels, {w}x{h}, noise of 1 grey level (ours at scale {args.scale})")
    pairs = scenes(w, h)
    frames = [f for _, a, b, _, _ in pairs for f in (a, b)]
    kinds = list(dict.fromkeys(kind for kind, *_ in pairs))
    for preset in args.presets:
        dis = cv2.DISOpticalFlow_create(PRESETS[preset])
        ours = Ours(frames, preset, args.scale, args.threads, folder)
        errors = {("ours", k): [] for k in kinds} | {("opencv", k): [] for k in kinds}
        for index, (kind, a, b, truth, visible) in enumerate(pairs):
            flows = {"ours": ours.between(2 * index, 2 * index + 1)[0], "opencv": dis.calc(a, b, None)}
            for name, flow in flows.items():
                errors[name, kind].append(np.sqrt(((flow - truth) ** 2).sum(-1))[visible].mean())
        ours.close()
        for name in ("ours", "opencv"):
            row = [np.mean(errors[name, k]) for k in kinds]
            print(f"{preset:10} {name:7}", *(f"{k} {v:.3f}" for k, v in zip(kinds, row)),
                  f"mean {np.mean(np.concatenate([errors[name, k] for k in kinds])):.3f}")


# Film ----------------------------------------------------------------------------------------------------------------

def read(path, size, count, skip=0):
    frames = []
    cap = cv2.VideoCapture(path)
    while len(frames) < skip + count:
        ok, frame = cap.read()
        if not ok:
            break
        if size:
            frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    return frames[skip:]


def warp_error(a, b, flow):
    """Mean absolute difference of a and b warped by flow, grey levels, where the flow stays inside."""
    h, w = a.shape
    x, y = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    x, y = x + flow[..., 0].astype(np.float32), y + flow[..., 1].astype(np.float32)
    inside = (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)
    warped = cv2.remap(b.astype(np.float32), x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.abs(warped - a)[inside].mean()


def film(args, folder):
    print(f"photometric warp error, mean absolute difference in grey levels (ours at scale {args.scale})")
    for path in args.clips:
        frames = read(path, None, args.pairs + 1, args.skip)
        still = np.mean([np.abs(a.astype(float) - b).mean() for a, b in zip(frames[1:], frames)])
        row = [f"{os.path.basename(path)} {frames[0].shape[1]}x{frames[0].shape[0]} no motion {still:.3f}"]
        for preset in args.presets:
            dis = cv2.DISOpticalFlow_create(PRESETS[preset])
            ours = Ours(frames, preset, args.scale, args.threads, folder)
            e = {"ours": [], "opencv": []}
            for t in range(1, len(frames)):
                e["ours"].append(warp_error(frames[t], frames[t - 1], ours.between(t, t - 1)[0]))
                e["opencv"].append(warp_error(frames[t], frames[t - 1], dis.calc(frames[t], frames[t - 1], None)))
            ours.close()
            row.append(f"{preset} ours {np.mean(e['ours']):.3f} opencv {np.mean(e['opencv']):.3f}")
        print(" | ".join(row))


def speed(args, folder):
    print(f"milliseconds, {args.threads} threads, in turns on the same pairs: minimum / median")
    for size in [(640, 360), (1280, 720)]:
        frames = read(args.clips[0], size, args.pairs + 1, args.skip)
        for preset in args.presets:
            dis = cv2.DISOpticalFlow_create(PRESETS[preset])
            ours = Ours(frames, preset, "full", args.threads, folder)
            live = Ours(frames, preset, "full", args.threads, folder)
            half = Ours(frames, preset, "half", args.threads, folder)
            times = {k: [] for k in ("ours", "opencv", "ours, both + masks", "opencv, both", "ours, both + masks, half")}
            for t in range(1, len(frames)):
                times["ours"].append(ours.ask(f"between {t} {t - 1}"))
                begin = time.perf_counter()
                dis.calc(frames[t], frames[t - 1], None)
                times["opencv"].append((time.perf_counter() - begin) * 1e3)
                begin = time.perf_counter()
                dis.calc(frames[t], frames[t - 1], None)
                dis.calc(frames[t - 1], frames[t], None)
                times["opencv, both"].append((time.perf_counter() - begin) * 1e3)
                times["ours, both + masks"].append(live.ask(f"push {t}"))
                times["ours, both + masks, half"].append(half.ask(f"push {t}"))
            for process in (ours, live, half):
                process.close()
            print(f"{size[0]}x{size[1]} {preset:10}", " | ".join(
                f"{k} {np.min(v[2:]):.2f} / {np.median(v[2:]):.2f}" for k, v in times.items()))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["accuracy", "film", "speed"])
    p.add_argument("clips", nargs="*")
    p.add_argument("--presets", type=lambda s: s.split(","), default=list(PRESETS))
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--pairs", type=int, default=20)
    p.add_argument("--skip", type=int, default=0)
    p.add_argument("--scale", default="full")
    p.add_argument("--size", type=lambda s: tuple(map(int, s.split("x"))), default=(640, 360))
    args = p.parse_args()
    cv2.setNumThreads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        {"accuracy": accuracy, "film": film, "speed": speed}[args.what](args, folder)


if __name__ == "__main__":
    main()
