#!/usr/bin/env python3
"""How steady films painted with `--engine optimize` are, what a warm start saves, how fast `live` is, what 4K takes.

    cargo build --release
    python benches/optimize_film.py --clips samples/bunny.mp4 street.mp4 [--yardstick steadiness.py] [--parts film live large]

`film`: each clip at 320x180, 24 frames, and six frames of it each on its own (`--steady off`); ratio of e_stab and texture
by `allaprima measure`, and by another program with the same options if one is named. `live`: paintings per second of a clip
in place of a camera. `large`: 3840x2160 in tiles. Some ten minutes on two quiet cores for three clips and all parts.
"""

from __future__ import annotations

import argparse
import csv
import json
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
              "--lossless", "--no-audio", "--quiet", "--overwrite", "--json"]
    original, painted, alone, log = (folder / name for name in ("original.mkv", "painted.mkv", "alone.mkv", "loss.csv"))
    start = ["--start", args.start]
    run(PROGRAM, "video", clip, "-o", original, *start, "--duration", 24 / fps, "--size", "320x180", "--opacity", 0, "--steady",
        "off", "--lossless", "--no-audio", "--quiet", "--overwrite")
    whole = json.loads(run(PROGRAM, "video", clip, "-o", painted, *start, "--duration", 24 / fps, *common, "--loss-log", log,
                           "--passes", args.passes))
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
                            "--iterations", 1, "--quiet", "--overwrite", "--json"))
    print(f"\n3840x2160, 1 step at full size: {result['seconds']:.0f} s, {result['peak_rss_mib']:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="+", default=[ROOT / "samples" / "bunny.mp4"])
    parser.add_argument("--yardstick", type=Path)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--start", type=float, default=0.0)
    parser.add_argument("--parts", nargs="+", default=["film", "live", "large"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if "film" in args.parts:
            print("| clip | ratio | independent | texture from the finest octave | 24 frames | peak memory | warm start |")
            print("|---|---|---|---|---|---|---|")
            for clip in args.clips:
                film(clip, args, Path(name))
        if "live" in args.parts:
            live(args.clips[0])
        if "large" in args.parts:
            large(Path(name))


if __name__ == "__main__":
    main()
