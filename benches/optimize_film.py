#!/usr/bin/env python3
"""How steady films painted with `--engine optimize` are, what a warm start saves, how fast `live` is, what 4K takes.
Draws how the loss falls, too.

    cargo build --release
    python benches/optimize_film.py --clips samples/bunny.mp4 street.mp4 [--yardstick steadiness.py] [--parts film live large]

`film`: each clip at 320x180, 24 frames (`--frames`), and six frames of it each on its own (`--steady off`); ratio of
e_stab and texture by `allaprima measure`, and by another program with the same options if one is named. `live`: paintings
per second of a clip in place of a camera. `large`: 3840x2160 in tiles. `plot` (only when asked for; needs matplotlib):
benches/optimize.png, the loss of every step of a photo and of every picture of the first clip. Some ten minutes on two
quiet cores for three clips and the other parts.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target" / "release" / "allaprima"
PAINTINGS = ROOT / "samples" / "paintings"
STYLE = PAINTINGS / "van_gogh_cafe_terrace_at_night.jpg"


def run(*command) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def rate(clip: Path) -> float:
    """Frames per second, from what one second of it holds."""
    with tempfile.TemporaryDirectory() as folder:
        out = run(PROGRAM, "video", clip, "-o", Path(folder) / "a.mkv", "--duration", 1, "--size", "64x48", "--opacity", 0,
                  "--steady", "off", "--no-audio", "--quiet", "--json")
    return json.loads(out)["frames"]


def warm_start(log: Path) -> str:
    """To which of the first picture's steps the next two come with theirs, by the loss without its temporal term."""
    frames: dict[int, list[float]] = {}
    for row in csv.DictReader(log.open()):
        if float(row["size"]) == 1.0:
            frames.setdefault(int(row["frame"]), []).append(float(row["loss"]) - float(row["temporal"]))
    first = frames.pop(0)
    found = []
    for number in list(frames)[:2]:
        reached = frames[number][-1]
        steps = next((i for i, loss in enumerate(first, start=1) if loss <= reached), len(first))
        found.append(f"{len(frames[number])} steps as {steps} of the first ({len(frames[number]) / steps:.2f})")
    return "; ".join(found)


def film(clip: Path, args, folder: Path) -> None:
    fps = rate(clip)
    common = ["--engine", "optimize", "--style-image", STYLE, "--iterations", args.iterations, "--size", "320x180",
              "--lossless", "--no-audio", "--quiet", "--overwrite", "--json", *shlex.split(args.options)]
    original, painted, alone, log = (folder / name for name in ("original.mkv", "painted.mkv", "alone.mkv", "loss.csv"))
    start = ["--start", args.start]
    duration = ["--duration", args.frames / fps]
    run(PROGRAM, "video", clip, "-o", original, *start, *duration, "--size", "320x180", "--opacity", 0, "--steady", "off",
        "--lossless", "--no-audio", "--quiet", "--overwrite")
    whole = json.loads(run(PROGRAM, "video", clip, "-o", painted, *start, *duration, *common, "--loss-log", log, "--passes",
                           args.passes))
    run(PROGRAM, "video", clip, "-o", alone, *start, "--duration", 6 / fps, *common, "--steady", "off")
    ours = json.loads(run(PROGRAM, "measure", original, painted, "--baseline", alone, "--frames", 6, "--json"))
    texture = " ".join(f"{value:.3f}" for value in ours["texture"])
    other = ""
    if args.yardstick:
        theirs = json.loads(run(sys.executable, args.yardstick, original, painted, "--baseline", alone, "--frames", 6, "--json"))
        other = f" {theirs['ratio']:.3f} (texture {' '.join(f'{value:.2f}' for value in theirs['texture'])})"
    print(f"| {clip.stem} | {ours['ratio']:.3f} |{other} | {texture} | {whole['seconds']:.0f} s | {whole['peak_rss_mib']:.0f} MiB |"
          f" {warm_start(log)} |")
    sys.stdout.flush()


def live(clip: Path) -> None:
    print("\n| painted at | paintings/s | latency p50, p95 | mean loss |\n|---|---|---|---|")
    for size in ("160x96", "240x136", "320x180", None):
        sizing = ["--size", size] if size else []
        result = json.loads(run(PROGRAM, "live", "--camera", clip, "--loop", "--engine", "optimize", "--style-image", STYLE,
                                "--duration", 10 if size else 20, "--window", "off", "--quiet", "--json", *sizing))
        sizes = ", ".join(f"{s['width']}x{s['height']} ({s['frames']})" for s in result["sizes"])
        latency = result["latency_ms"]
        print(f"| {size or 'auto: ' + sizes} | {result['painted'] / result['seconds']:.2f} | {latency['p50']:.0f} ms,"
              f" {latency['p95']:.0f} ms | {result['optimized']['loss']:.3f} |")
        sys.stdout.flush()


def large(folder: Path) -> None:
    from PIL import Image

    photo, painted = folder / "large.png", folder / "painted.png"
    Image.open(ROOT / "samples" / "chelsea.png").convert("RGB").resize((3840, 2160)).save(photo)
    result = json.loads(run(PROGRAM, "image", photo, "-o", painted, "--engine", "optimize", "--style-image", STYLE,
                            "--iterations", 5, "--quiet", "--overwrite", "--json"))
    print(f"\n3840x2160, 5 steps at full size: {result['seconds']:.0f} s, {result['peak_rss_mib']:.0f} MiB")


def losses(log: Path) -> dict[int, list[dict[str, float]]]:
    frames: dict[int, list[dict[str, float]]] = {}
    for row in csv.DictReader(log.open()):
        frames.setdefault(int(row["frame"]), []).append({key: float(value) for key, value in row.items()})
    return frames


def plot(clip: Path, args, folder: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.6))
    common = ["--engine", "optimize", "--style-image", STYLE, "--quiet", "--overwrite"]
    log = folder / "image.csv"
    for quality in ("draft", "good", "best"):
        run(PROGRAM, "image", ROOT / "samples" / "astronaut.jpg", "-o", folder / "painted.png", "--max-size", 256, *common,
            "--quality", quality, "--loss-log", log)
        steps = losses(log)[0]
        (line,) = left.plot(range(1, len(steps) + 1), [s["loss"] for s in steps], label=f"--quality {quality}", lw=1.2)
        first = next(i for i, s in enumerate(steps, start=1) if s["size"] == 1.0)
        left.plot(first, steps[first - 1]["loss"], "o", color=line.get_color(), ms=4)
        middle.plot([s["seconds"] for s in steps], [s["loss"] for s in steps], label=f"--quality {quality}", lw=1.2)
    left.set(xlabel="step (dot: the first at full size)", ylabel="loss", yscale="log", title="a portrait, 256x256")
    left.legend()
    middle.set(xlabel="seconds", yscale="log", title="the same")
    log = folder / "loss.csv"
    if not log.exists():
        run(PROGRAM, "video", clip, "-o", folder / "painted.mkv", "--start", args.start, "--duration", args.frames / rate(clip),
            "--size", "320x180", "--iterations", args.iterations, "--lossless", "--no-audio", *common, "--loss-log", log)
    frames = losses(log)
    ends = [[s for s in frames[n] if s["size"] == 1.0][-1] for n in sorted(frames)]
    for term, label in (("style", "style"), ("content", "content"), ("variation", "total variation"), ("temporal", "temporal")):
        right.plot(range(len(ends)), [s[term] for s in ends], "o-", ms=3, lw=1.2, label=label)
    right.set(xlabel="picture of the film", ylabel="terms of the loss after the last step", title=f"{clip.stem}, 320x180")
    right.set_ylim(0, None)
    right.legend()
    for axis in (left, middle, right):
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(ROOT / "benches" / "optimize.png", dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+", default=[ROOT / "samples" / "bunny.mp4"])
    parser.add_argument("--yardstick", type=Path)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--options", default="", help="of both films, such as --options='--style-weight 0.5'")
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--parts", nargs="+", default=["film", "live", "large"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if "film" in args.parts:
            print(f"| clip | ratio | independent | texture from the finest octave | {args.frames} frames | peak memory |"
                  " warm start |")
            print("|---|---|---|---|---|---|---|")
            for clip in args.clips:
                film(clip, args, Path(name))
        if "live" in args.parts:
            live(args.clips[0])
        if "large" in args.parts:
            large(Path(name))
        if "plot" in args.parts:
            plot(args.clips[0], args, Path(name))


if __name__ == "__main__":
    main()
