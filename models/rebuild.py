"""Build each network again from the safetensors file alone, as a plain float ONNX graph.

An implementation independent of the original graphs: if it agrees with them, the file and the facts in its metadata
are enough to run the network.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Graph:
    """A small ONNX graph under construction; every method returns the name of its result."""

    nodes: list = field(default_factory=list)
    constants: list = field(default_factory=list)

    def constant(self, value: np.ndarray) -> str:
        """Add a constant tensor."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add one node."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def floats(self, *values: float) -> str:
        """Add a f32 constant vector (or scalar, if one)."""
        return self.constant(np.array(values if len(values) > 1 else values[0], np.float32))

    def conv(self, x: str, weight: np.ndarray, bias: np.ndarray | None, stride: int, pads: list[int], groups: int,
             reflect: bool) -> str:
        """Convolution with reflection or zero padding (top, left, bottom, right)."""
        if reflect and any(pads):
            x = self.op("Pad", x, self.constant(np.array([0, 0, pads[0], pads[1], 0, 0, pads[2], pads[3]], np.int64)),
                        mode="reflect")
            pads = [0, 0, 0, 0]
        inputs = [x, self.constant(weight.astype(np.float32))]
        if bias is not None:
            inputs.append(self.constant(bias.astype(np.float32)))
        return self.op("Conv", *inputs, strides=[stride] * 2, pads=pads, group=groups)

    def instance_norm(self, x: str, scale: str, shift: str) -> str:
        """Biased instance norm, then scale and shift of shape [C]."""
        axes = {"axes": [2, 3], "keepdims": 1}
        centred = self.op("Sub", x, self.op("ReduceMean", x, **axes))
        variance = self.op("ReduceMean", self.op("Mul", centred, centred), **axes)
        unit = self.op("Div", centred, self.op("Sqrt", self.op("Add", variance, self.floats(1e-5))))
        shape = self.constant(np.array([1, -1, 1, 1], np.int64))
        scaled = self.op("Mul", unit, self.op("Reshape", scale, shape))
        return self.op("Add", scaled, self.op("Reshape", shift, shape))

    def activate(self, x: str, activation: str) -> str:
        """relu, relu6, sigmoid or none."""
        match activation:
            case "relu":
                return self.op("Relu", x)
            case "relu6":
                return self.op("Clip", x, self.floats(0.0), self.floats(6.0))
            case "sigmoid":
                return self.op("Sigmoid", x)
            case _:
                return x

    def upsample(self, x: str, factor: int) -> str:
        """Nearest neighbour."""
        return self.op("Resize", x, "", self.floats(1, 1, factor, factor), mode="nearest",
                       coordinate_transformation_mode="asymmetric", nearest_mode="floor") if factor > 1 else x

    def session(self, inputs: dict[str, list[int | str]], output: str) -> onnxruntime.InferenceSession:
        """Compile."""
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "rebuilt", values, [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def any_network(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> onnxruntime.InferenceSession:
    """Either any-picture network, from the layer list in its metadata."""
    graph = Graph()
    reflect = metadata["padding"].startswith("reflection")
    results: dict[str, str] = {}
    x = "image"
    for layer in json.loads(metadata["layers"]):
        name = layer["name"]
        if name == "style":
            x = graph.op("GlobalAveragePool", x)
        x = graph.upsample(x, layer["upsample"])
        x = graph.conv(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), layer["stride"], layer["pads"],
                       layer["groups"], reflect)
        if layer["norm"]:
            heads = []
            for kind in ("scale", "shift"):
                weight = graph.constant(tensors[f"{name}.norm.{kind}.weight"].astype(np.float32))
                bias = graph.constant(tensors[f"{name}.norm.{kind}.bias"].astype(np.float32))
                heads.append(graph.op("Add", graph.op("MatMul", weight, "style"), bias))
            x = graph.instance_norm(x, *heads)
        x = graph.activate(x, layer["activation"])
        if layer["add"]:
            x = graph.op("Add", x, results[layer["add"]])
        results[name] = x
    inputs: dict[str, list[int | str]] = {"image": [1, 3, "h", "w"]}
    if not reflect:
        return graph.session(inputs, x)
    return graph.session({**inputs, "style": [100]}, x)


def multistyle(tensors: dict[str, np.ndarray]) -> onnxruntime.InferenceSession:
    """The 26-style network; inputs `image` and `style_weights`."""
    graph = Graph()

    def layer(x: str, name: str, stride: int = 1, upsample: int = 1, activation: str = "relu") -> str:
        weight = tensors[f"{name}.weight"]
        x = graph.conv(graph.upsample(x, upsample), weight, None, stride, [weight.shape[2] // 2] * 4, 1, True)
        mixed = [graph.op("MatMul", "style_weights", graph.constant(tensors[f"{name}.norm.{kind}"]))
                 for kind in ("scale", "shift")]
        return graph.activate(graph.instance_norm(x, *mixed), activation)

    x = layer("image", "contract.0")
    x = layer(x, "contract.1", stride=2)
    x = layer(x, "contract.2", stride=2)
    for block in range(6):
        inner = layer(layer(x, f"residual.{block}.0"), f"residual.{block}.1", activation="none")
        x = graph.op("Add", x, inner)
    x = layer(x, "expand.0", upsample=2)
    x = layer(x, "expand.1", upsample=2)
    x = layer(x, "expand.2", activation="sigmoid")
    return graph.session({"image": [1, 3, "h", "w"], "style_weights": [26]}, x)
