"""Take the quantisation out of an int8 ONNX graph: what is left is the same network in float."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def dequantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace constants by scale x (int8 - zero point), in f32, and drop every rounding of activations."""
    graph = model.graph
    initial = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    floats: dict[str, np.ndarray] = {}
    alias: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in initial:
            values, scale, zero = (initial[name] for name in node.input)
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            shape = [1] * values.ndim
            if scale.size > 1:
                shape[axis] = -1
            difference = values.astype(np.int64) - zero.astype(np.int64).reshape(shape)
            floats[node.output[0]] = difference.astype(np.float32) * scale.astype(np.float32).reshape(shape)
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            alias[node.output[0]] = node.input[0]
        else:
            kept.append(node)

    def resolve(name: str) -> str:
        while name in alias:
            name = alias[name]
        return name

    for node in kept:
        for index, name in enumerate(node.input):
            node.input[index] = resolve(name)
    kept += [helper.make_node("Identity", [resolve(o.name)], [o.name]) for o in graph.output if o.name in alias]
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    used = {name for node in nodes for name in node.input}
    constants = [t for t in graph.initializer if t.name in used]
    constants += [numpy_helper.from_array(value, name) for name, value in floats.items() if name in used]
    new = helper.make_graph(nodes, graph.name, list(graph.input), list(graph.output), constants)
    return helper.make_model(new, opset_imports=list(model.opset_import), ir_version=model.ir_version)


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The initialisers of a graph by name."""
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """The attributes of a node by name."""
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}
