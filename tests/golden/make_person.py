"""Makes person.safetensors: what MediaPipe itself says of the committed photo of an astronaut, 256x256.

Run with mediapipe 0.10.21, numpy and Pillow: python tests/golden/make_person.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import mediapipe
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "models"))

import store  # noqa: E402


def main() -> None:
    photo = Image.open(ROOT / "samples" / "astronaut.jpg").convert("RGB")
    pixels = np.asarray(photo.resize((256, 256), Image.Resampling.LANCZOS))
    with mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as network:
        mask = network.process(pixels).segmentation_mask
    store.save(HERE / "person.safetensors", {
        "output.256x256.every2": np.ascontiguousarray(mask[::2, ::2].astype(np.float32)),
        "input.256x256": pixels,
    }, {
        "made_by": "tests/golden/make_person.py",
        "mediapipe": mediapipe.__version__,
        "network": "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        "output": "likelihood of a person, 0..1, [::2, ::2]",
    })


if __name__ == "__main__":
    main()
