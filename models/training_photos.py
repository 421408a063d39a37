#!/usr/bin/env python3
"""Collect photos to train with (`allaprima train --data`) from Debian packages. None is committed here.

    pip install pillow numpy
    python models/training_photos.py FOLDER                 # downloads the packages with apt-get
    python models/training_photos.py FOLDER --debs DOWNLOADED

Writes PNG files of at most 1000 pixels a side and SOURCES.md, which says for each package how many pictures came from it
and under which licences (each package's copyright file names its authors). Pictures that are nearly alike, nearly flat or
small are left out. The samples of this repository (astronaut, chelsea, coffee, bunny) are not among them: paintings are
judged by those.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

#: package, licences as its copyright file gives them, pattern of its pictures ("rcc": WebP pictures inside Qt resources)
PACKAGES = [
    ("gcompris-qt-data", "CC-BY-SA-2.0/3.0/4.0, CC-BY-2.0, public domain, GPL-3+", "rcc"),
    ("gnome-backgrounds", "CC-BY-SA-3.0", "usr/share/backgrounds/**/*.webp"),
    ("lomiri-wallpapers-16.04", "CC-BY-4.0, CC-BY-SA-3.0/4.0, CC0-1.0", "usr/share/backgrounds/**/*.jpg"),
    ("lomiri-wallpapers-20.04", "CC-BY-SA-4.0", "usr/share/backgrounds/**/*.jpg"),
    ("mate-backgrounds", "GPL-2+, CC-BY-SA-4.0", "usr/share/backgrounds/**/*"),
    ("plasma-workspace-wallpapers", "GPL-2+", "usr/share/wallpapers/*/contents/images*/*"),
    ("ukui-wallpapers", "CC-BY-SA-3.0", "usr/share/backgrounds/**/*"),
    ("opencv-doc", "BSD-3-Clause, Apache-2.0", "usr/share/doc/opencv-doc/examples/data/*.jpg"),
]
#: of opencv-doc, whose other pictures are charts, drawings and frames of films
OPENCV = ["aloeL", "baboon", "fruits", "home", "leuvenA", "messi5", "orange", "stuff"]
LONGEST = 1000
SHORTEST = 200
PICTURES = {".jpg", ".jpeg", ".png", ".webp"}


def pictures(package: str, pattern: str, folder: Path) -> Iterator[tuple[str, Image.Image]]:
    if pattern == "rcc":
        for path in sorted(folder.rglob("*.rcc")):
            data = path.read_bytes()
            for match in re.finditer(rb"RIFF....WEBP", data, re.S):
                size = int.from_bytes(data[match.start() + 4 : match.start() + 8], "little") + 8
                try:
                    picture = Image.open(io.BytesIO(data[match.start() : match.start() + size]))
                    picture.load()
                except (OSError, ValueError):
                    continue
                # Photos have no transparency, drawings have.
                if picture.mode == "RGB":
                    yield f"{path.stem}-{match.start()}", picture
        return
    for path in sorted(folder.glob(pattern)):
        if path.suffix.lower() not in PICTURES or path.is_symlink() or path.stat().st_size < 60_000:
            continue
        if package == "opencv-doc" and path.stem not in OPENCV:
            continue
        yield "-".join(path.relative_to(folder).with_suffix("").parts[3:]), Image.open(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the photos go")
    parser.add_argument("--debs", type=Path, help="folder of packages that were downloaded before")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    Image.MAX_IMAGE_PIXELS = None
    seen: list[np.ndarray] = []
    sources = ["| package | version | pictures | licences |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for package, licences, pattern in PACKAGES:
            debs = arguments.debs or work
            if not arguments.debs:
                subprocess.run(["apt-get", "download", "-qq", package], cwd=work, check=True)
            deb = next(debs.glob(f"{package}_*.deb"))
            unpacked = work / package
            subprocess.run(["dpkg-deb", "-x", str(deb), str(unpacked)], check=True)
            count = 0
            for name, picture in pictures(package, pattern, unpacked):
                picture = picture.convert("RGB")
                if min(picture.size) < SHORTEST:
                    continue
                picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
                small = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), dtype=np.float32)
                alike = any(np.abs(small - other).mean() < 4 for other in seen)
                if alike or np.asarray(picture).std() < 12:
                    continue
                seen.append(small)
                picture.save(arguments.folder / f"{package}-{name}.png", compress_level=1)
                count += 1
            version = deb.name.split("_")[1]
            sources.append(f"| {package} | {version} | {count} | {licences} |")
            print(f"{package}: {count}")
    (arguments.folder / "SOURCES.md").write_text("\n".join(sources) + "\n")


if __name__ == "__main__":
    main()
