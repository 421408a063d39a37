"""A deterministic safetensors writer.

The `safetensors` package keeps metadata in a hash map, so two runs may order it differently; files that are
committed and checked by sha256 must come out byte for byte the same.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

DTYPES = {"float32": "F32", "float16": "F16", "uint8": "U8", "int8": "I8"}


def save(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    """Write `tensors` in the given order (wider types first, so that each is aligned)."""
    ordered = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    chunks: list[bytes] = []
    offset = 0
    for name, array in ordered:
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        data = little.tobytes()
        header[name] = {
            "dtype": DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(chunks))


def load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Read a safetensors file written by anybody: tensors and metadata."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    metadata = header.pop("__metadata__", {})
    names = {short: long for long, short in DTYPES.items()}
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        flat = np.frombuffer(raw[8 + size + start:8 + size + end], dtype=np.dtype(names[entry["dtype"]]))
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata
