#!/usr/bin/env python3
"""How steady `allaprima` is: films, the table and the plot of benches/steadiness.md.

    pip install numpy opencv-python-headless matplotlib
    steadiness.py clips  --work DIR --samples samples [--film NAME=FILE ...]
    steadiness.py paint  --work DIR --allaprima target/release/allaprima --styles starry,comic
    steadiness.py steady --work DIR --steady-clip target/release/examples/steady_clip [--strength 1] [--passes 1]
    steadiness.py table  --work DIR [--yardstick steadiness.py] [--strength 1] [--passes 1]
    steadiness.py plot   --work DIR --clips bunny,pan --styles starry,comic -o benches/steadiness.png

`clips` cuts 60 frames out of each film (FILMS says where) and makes three films whose motion is exactly known from the
photos of the samples. Everything is lossless (ffv1). The flow that judges is OpenCV's DIS medium on the input, a pixel
counts where forward and backward flow agree (Ruder et al. 2016); *true* judges by the motion that the film was made with.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np

SIZE = (640, 360)
FRAMES = 60
# Film: first frame, frames.
FILMS = {
    "bunny": (20, 60), "street": (77, 60), "fast": (31, 45), "walk": (188, 54), "carphone": (40, 60),
    "people": (60, 60), "tree": (5, 60), "box": (90, 60), "cup": (60, 60),
}
KNOWN = ("pan", "zoomturn", "layers")


def read(path, skip=0, count=10**9):
    capture, frames = cv2.VideoCapture(str(path)), []
    while len(frames) < skip + count:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(frame)
    return frames[skip:]


class Writer:
    """A lossless file, written through the ffmpeg program."""

    def __init__(self, path, size):
        command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{size[0]}x{size[1]}",
                   "-r", "25", "-i", "-", "-c:v", "ffv1", "-pix_fmt", "gbrp", str(path)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def write(self, frame):
        self.process.stdin.write(np.ascontiguousarray(frame, np.uint8).tobytes())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def write(path, frames):
    writer = Writer(path, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.close()


GRID = np.stack(np.meshgrid(np.arange(SIZE[0], dtype=np.float64), np.arange(SIZE[1], dtype=np.float64)), -1)
CENTRE = np.array([SIZE[0] / 2, SIZE[1] / 2])


class Layer:
    """A photo that moves as a whole: `pose` gives scale, angle and place at a time."""

    def __init__(self, photo, pose, centre=None, radii=None):
        self.photo, self.pose, self.centre, self.radii = photo, pose, centre, radii

    def to_photo(self, points, t):
        scale, angle, shift = self.pose(t)
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        p = points - CENTRE
        return np.stack([cos * p[..., 0] - sin * p[..., 1], sin * p[..., 0] + cos * p[..., 1]], -1) + shift

    def from_photo(self, points, t):
        scale, angle, shift = self.pose(t)
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        p = points - shift
        return np.stack([cos * p[..., 0] + sin * p[..., 1], -sin * p[..., 0] + cos * p[..., 1]], -1) + CENTRE

    def colours(self, t):
        at = self.to_photo(GRID, t).astype(np.float32)
        return cv2.remap(self.photo, at[..., 0], at[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT_101)

    def covers(self, points, t):
        if self.radii is None:
            return np.ones(points.shape[:2], bool)
        return (((self.to_photo(points, t) - self.centre) / self.radii) ** 2).sum(-1) < 1


def known(name, photos):
    """Layers, the hindmost first."""
    big = [cv2.GaussianBlur(cv2.resize(p, None, fx=f, fy=f, interpolation=cv2.INTER_CUBIC), (0, 0), 0.6)
           for p in photos for f in [1100 / p.shape[1]]]
    middle = [np.array(p.shape[1::-1]) / 2 for p in big]
    if name == "pan":
        return [Layer(big[0], lambda t: (1, 0, middle[0] + [-150 + 4.3 * t, 40 * np.sin(t / 9)]))]
    if name == "zoomturn":
        return [Layer(big[1], lambda t: (1.1 * 0.994**t, 0.006 * t, middle[1] + [10 * np.sin(t / 7), 0.5 * t]))]
    layers = [Layer(big[2], lambda t: (1, 0, middle[2] + [1.3 * t - 40, 0.4 * t]))]
    for i, (dx, dy) in enumerate([(-3.1, 0.7), (2.2, 1.1), (-1.4, -1.7)]):
        photo, at = big[(i + 3) % len(big)], middle[(i + 3) % len(big)]
        shift = np.array([[-190, -60], [30, 70], [210, -20]][i])
        layers.append(Layer(photo, lambda t, at=at, dx=dx, dy=dy, shift=shift: (1, 0.004 * t, at - shift - np.array([dx, dy]) * (t - 30)), at, (85, 70)))
    return layers


def render(layers, t):
    picture, top = layers[0].colours(t), np.zeros(SIZE[::-1], int)
    for i, layer in enumerate(layers[1:], start=1):
        inside = layer.covers(GRID, t)
        picture[inside], top[inside] = layer.colours(t)[inside], i
    return picture, top


def true_motion(layers, t, top, before):
    """Backward motion of frame t, and where it leads to the same layer inside the frame before."""
    flow, seen = np.zeros((*SIZE[::-1], 2)), np.zeros(SIZE[::-1], bool)
    for i, layer in enumerate(layers):
        to = layer.from_photo(layer.to_photo(GRID, t), t - 1)
        inside = (to >= 0).all(-1) & (to <= np.array(SIZE) - 1).all(-1)
        x, y = (np.clip(np.rint(to[..., k]), 0, SIZE[k] - 1).astype(int) for k in (0, 1))
        flow[top == i] = (to - GRID)[top == i]
        seen |= (top == i) & inside & (before[y, x] == i)
    return flow.astype(np.float32), seen


def clips(a):
    a.work.mkdir(parents=True, exist_ok=True)
    for film in a.film:
        name, _, path = film.partition("=")
        skip, count = FILMS[name]
        frames = read(path, skip, count)
        if not frames:
            sys.exit(f"cannot read {path}")
        height, width = frames[0].shape[:2]
        scale = min(1, SIZE[0] / width)
        size = (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
        write(a.work / f"{name}.mkv", [cv2.resize(f, size, interpolation=cv2.INTER_AREA) if size != (width, height) else f for f in frames])
    names = ["astronaut.jpg", "coffee.jpg", "chelsea.png", *sorted(f"paintings/{p.name}" for p in (a.samples / "paintings").glob("*.jpg"))]
    photos = [cv2.imread(str(a.samples / name)) for name in names]
    noise = np.random.default_rng(1)
    for name in KNOWN:
        layers, frames, flows, masks, before = known(name, photos), [], [], [], None
        for t in range(FRAMES):
            picture, top = render(layers, t)
            frames.append(np.clip(picture + noise.normal(0, 1, picture.shape), 0, 255).round())
            if t:
                flow, seen = true_motion(layers, t, top, before)
                flows.append(flow), masks.append(seen)
            before = top
        write(a.work / f"{name}.mkv", frames)
        np.savez(a.work / f"{name}.npz", flow=np.array(flows), seen=np.array(masks))


def names_in(a):
    found = [name for name in (*FILMS, *KNOWN) if (a.work / f"{name}.mkv").exists()]
    return [name for name in found if not a.clips or name in a.clips.split(",")]


def styles_in(a, name):
    found = sorted(p.name.split(".")[1] for p in a.work.glob(f"{name}.*.plain.mkv"))
    return [style for style in found if not a.styles or style in a.styles.split(",")]


def paint(a):
    for name in names_in(a):
        for style in a.styles.split(","):
            output = a.work / f"{name}.{style}.plain.mkv"
            if not output.exists():
                subprocess.run([a.allaprima, "video", a.work / f"{name}.mkv", "-o", output, "--style", style, "--steady", "off", "--lossless", "--quiet"], check=True)


def steadied(a, name, style):
    passes = "" if a.passes == "1" else f".passes{a.passes}"
    return a.work / f"{name}.{style}.{a.strength}{passes}.mkv"


def run_steady(a, name, plain, output, strength, passes):
    output.unlink(missing_ok=True)
    command = [a.steady_clip, a.work / f"{name}.mkv", plain, output, strength, "medium", "full", passes]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def steady(a):
    for name in names_in(a):
        for style in styles_in(a, name):
            run_steady(a, name, a.work / f"{name}.{style}.plain.mkv", steadied(a, name, style), a.strength, a.passes)


def warp(image, flow, mode=cv2.INTER_CUBIC):
    h, w = flow.shape[:2]
    gx, gy = np.meshgrid(np.arange(w, dtype=np.float32), np.arange(h, dtype=np.float32))
    return cv2.remap(image, gx + flow[..., 0], gy + flow[..., 1], mode, borderMode=cv2.BORDER_REPLICATE)


def judged_flow(frames):
    """OpenCV's backward flow of each frame and where it is consistent."""
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(f, cv2.COLOR_BGR2GRAY) for f in frames]
    h, w = grey[0].shape
    gx, gy = np.meshgrid(np.arange(w), np.arange(h))
    for before, now in zip(grey, grey[1:]):
        back = dis.calc(now, before, None)
        forth = warp(dis.calc(before, now, None), back)
        seen = ((back + forth) ** 2).sum(-1) <= 0.01 * ((back**2).sum(-1) + (forth**2).sum(-1)) + 0.5
        x, y = gx + back[..., 0], gy + back[..., 1]
        yield back, seen & (x >= 0) & (x <= w - 1) & (y >= 0) & (y <= h - 1)


def e_stab(frames, motion):
    errors = [((now / 255.0 - warp(before / np.float32(255), flow)) ** 2).mean(-1)[seen].mean()
              for (flow, seen), before, now in zip(motion, frames, frames[1:])]
    return float(np.sqrt(np.mean(errors)))


def octaves(frame, levels=4):
    grey, energies = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32), []
    for _ in range(levels):
        low = cv2.pyrDown(grey)
        energies.append(float(np.abs(grey - cv2.pyrUp(low, dstsize=grey.shape[::-1])).mean()))
        grey = low
    return energies


def texture(frames, plain):
    ours, theirs = (np.mean([octaves(f) for f in film], axis=0) for film in (frames, plain))
    return [float(x) for x in ours / theirs]


def known_motion(a, name):
    if name not in KNOWN:
        return None
    data = np.load(a.work / f"{name}.npz")
    return list(zip(data["flow"], data["seen"]))


def table(a):
    print("| clip | style | per frame | steady | input | ratio | true | texture, finest octave first | lag |\n|---|---|---|---|---|---|---|---|---|")
    rows = []
    for name in names_in(a):
        true = known_motion(a, name)
        for style in styles_in(a, name):
            plain, output = a.work / f"{name}.{style}.plain.mkv", steadied(a, name, style)
            run = subprocess.run([sys.executable, a.yardstick, a.work / f"{name}.mkv", output, "--baseline", plain, "--json"], check=True, capture_output=True, text=True)
            r = json.loads(run.stdout)
            r["true"] = e_stab(read(output), true) / e_stab(read(plain), true) if true else None
            rows.append((name, r))
            print(f"| {name} | {style} | {r['e_stab_baseline']:.3f} | {r['e_stab']:.4f} | {r['e_stab_input']:.4f} | {r['ratio']:.2f} | "
                  + (f"{r['true']:.2f}" if true else "") + " | " + " / ".join(f"{x:.2f}" for x in r["texture"]) + f" | {r['lag']:.2f} |", flush=True)
    for title, chosen in (("real", [r for name, r in rows if name not in KNOWN]), ("known", [r for name, r in rows if name in KNOWN])):
        if chosen:
            ratios = [r["ratio"] for r in chosen]
            low, high = np.min([r["texture"] for r in chosen]), np.max([r["texture"] for r in chosen])
            line = f"{title}: {len(ratios)} films, ratio mean {np.mean(ratios):.3f}, worst {max(ratios):.3f}; texture {low:.2f}..{high:.2f}; lag up to {max(r['lag'] for r in chosen):.2f}"
            if title == "known":
                line += f"; true mean {np.mean([r['true'] for r in chosen]):.3f}, worst {max(r['true'] for r in chosen):.3f}"
            print(line)


def running_average(frames, keep):
    average = frames[0].astype(np.float32)
    for frame in frames:
        average = keep * average + (1 - keep) * frame
        yield average.round().astype(np.uint8)


def naive(frames, motion, keep, mode):
    picture = frames[0].astype(np.float32)
    yield frames[0]
    for frame, (flow, seen) in zip(frames[1:], motion):
        share = keep * seen[..., None].astype(np.float32)
        picture = np.clip(share * warp(picture, flow, mode) + (1 - share) * frame, 0, 255)
        yield picture.round().astype(np.uint8)


def plot(a):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    curves = {}

    def add(curve, key, frames, plain, motion, base):
        curves.setdefault(curve, {}).setdefault(key, []).append((e_stab(frames, motion) / base, *texture(frames, plain)))

    for name in names_in(a):
        motion = list(judged_flow(read(a.work / f"{name}.mkv")))
        for style in styles_in(a, name):
            plain_path = a.work / f"{name}.{style}.plain.mkv"
            plain = read(plain_path)
            base = e_stab(plain, motion)
            for keep in (0.3, 0.6, 0.8, 0.9):
                add("running average", keep, list(running_average(plain, keep)), plain, motion, base)
            for keep in (0.5, 0.75, 0.9, 0.95):
                add("warp and blend, bilinear", keep, list(naive(plain, motion, keep, cv2.INTER_LINEAR)), plain, motion, base)
                add("warp and blend, bicubic", keep, list(naive(plain, motion, keep, cv2.INTER_CUBIC)), plain, motion, base)
            output = a.work / "plot.mkv"
            for strength in ("0.25", "0.5", "0.75", "1"):
                run_steady(a, name, plain_path, output, strength, "1")
                add("allaprima --steady", strength, read(output), plain, motion, base)
            for passes in ("1", "2", "3"):
                run_steady(a, name, plain_path, output, "1", passes)
                add("allaprima --passes", passes, read(output), plain, motion, base)
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), sharey=True)
    for axis, title, index in zip(axes, ("finest octave", "second octave", "third octave"), (1, 2, 3)):
        for curve, points in curves.items():
            means = np.array([np.mean(values, axis=0) for values in points.values()])
            axis.plot(means[:, index], means[:, 0], "o-", label=curve, lw=2.5 if "allaprima" in curve else 1.2)
            for key, mean in zip(points, means):
                axis.annotate(str(key), (mean[index], mean[0]), fontsize=7, xytext=(3, 3), textcoords="offset points")
        axis.axvspan(0.92, 1.10, color="#dfeedd", zorder=0)
        axis.set_xlabel(f"texture kept, {title}"), axis.grid(alpha=0.3)
    axes[0].set_ylabel("error along the motion, per-frame painting = 1"), axes[0].set_ylim(0, None), axes[0].legend(fontsize=8)
    figure.tight_layout(), figure.savefig(a.output, dpi=90)
    print(json.dumps({curve: {str(k): np.mean(v, axis=0).round(3).tolist() for k, v in points.items()} for curve, points in curves.items()}, indent=1))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("clips", "paint", "steady", "table", "plot"))
    p.add_argument("--work", type=pathlib.Path, required=True)
    p.add_argument("--samples", type=pathlib.Path, default=pathlib.Path("samples"))
    p.add_argument("--film", action="append", default=[], metavar="NAME=FILE")
    p.add_argument("--clips"), p.add_argument("--styles"), p.add_argument("--strength", default="1"), p.add_argument("--passes", default="1")
    p.add_argument("--allaprima", default="target/release/allaprima")
    p.add_argument("--steady-clip", default="target/release/examples/steady_clip")
    p.add_argument("--yardstick", default="steadiness.py"), p.add_argument("-o", "--output", default="steadiness.png")
    a = p.parse_args()
    {"clips": clips, "paint": paint, "steady": steady, "table": table, "plot": plot}[a.what](a)


if __name__ == "__main__":
    main()
