"""The person segmenter: MediaPipe's TFLite file to safetensors with the graph as a list of steps.

A MobileNetV3 (Howard et al., 2019) with a small decoder; the file holds f16 weights and f32 arithmetic.
"""

from __future__ import annotations

import json

import numpy as np
import tflite

SOURCE = "mediapipe==0.10.21 mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"
#: steps that need nothing but their inputs
PLAIN = {
    tflite.BuiltinOperator.RELU: "relu",
    tflite.BuiltinOperator.HARD_SWISH: "hard_swish",
    tflite.BuiltinOperator.LOGISTIC: "sigmoid",
    tflite.BuiltinOperator.MUL: "mul",
    tflite.BuiltinOperator.ADD: "add",
    tflite.BuiltinOperator.AVERAGE_POOL_2D: "mean",
    tflite.BuiltinOperator.RESIZE_BILINEAR: "double",
}


def convert(data: bytes) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Tensors (f16, OIHW) and metadata."""
    model = tflite.Model.GetRootAsModel(data, 0)
    graph = model.Subgraphs(0)
    constants: dict[int, np.ndarray] = {}
    shapes = {i: [int(v) for v in np.atleast_1d(graph.Tensors(i).ShapeAsNumpy())] for i in range(graph.TensorsLength())}
    tensors: dict[str, np.ndarray] = {}
    steps = []

    def options(operator: tflite.Operator, kind: type) -> object:
        table = operator.BuiltinOptions()
        value = kind()
        value.Init(table.Bytes, table.Pos)
        assert value.FusedActivationFunction() == 0 if hasattr(value, "FusedActivationFunction") else True
        return value

    for index in range(graph.OperatorsLength()):
        operator = graph.Operators(index)
        code = model.OperatorCodes(operator.OpcodeIndex())
        builtin = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        inputs, output = [int(i) for i in operator.InputsAsNumpy()], int(operator.OutputsAsNumpy()[0])
        if builtin == tflite.BuiltinOperator.DEQUANTIZE:
            tensor = graph.Tensors(inputs[0])
            raw = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
            constants[output] = np.frombuffer(raw, np.float16).reshape(shapes[inputs[0]])
            continue
        step: dict[str, object] = {"out": output}
        if builtin in PLAIN:
            step["op"] = PLAIN[builtin]
            step["in"] = inputs[:1] if step["op"] == "double" else inputs
            if step["op"] == "double":
                resize = options(operator, tflite.ResizeBilinearOptions)
                assert resize.HalfPixelCenters() and not resize.AlignCorners()
                assert shapes[output][1] == 2 * shapes[inputs[0]][1]
            if step["op"] == "mean":
                assert shapes[output][1:3] == [1, 1]
        else:
            weight, bias = constants[inputs[1]], constants[inputs[2]]
            name = f"step.{len(steps)}"
            if builtin == tflite.BuiltinOperator.CONV_2D:
                facts = options(operator, tflite.Conv2DOptions)
                step |= {"op": "conv", "stride": facts.StrideH()}
                weight = weight.transpose(0, 3, 1, 2)
            elif builtin == tflite.BuiltinOperator.DEPTHWISE_CONV_2D:
                facts = options(operator, tflite.DepthwiseConv2DOptions)
                assert facts.DepthMultiplier() == 1
                step |= {"op": "depthwise", "stride": facts.StrideH()}
                weight = weight.transpose(3, 0, 1, 2)
            else:
                assert code.CustomCode() == b"Convolution2DTransposeBias" and weight.shape[1:3] == (2, 2)
                step |= {"op": "spread"}
                weight = weight.transpose(0, 3, 1, 2)
            step |= {"in": inputs[:1], "name": name}
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = np.ascontiguousarray(weight), bias
        steps.append(step)
    metadata = {
        "architecture": "mobilenet-v3-person-segmenter",
        "paper": "Howard et al.: Searching for MobileNetV3, 2019",
        "input": "RGB, 0..1, 1x3x256x256",
        "output": "1x1x256x256: how likely each pixel is a person, 0..1",
        "steps": json.dumps(steps, separators=(",", ":")),
        "first": str(int(graph.InputsAsNumpy()[0])),
        "padding": "zeros, TensorFlow SAME: on even sides a stride of 2 pads one less before than behind",
        "spread": "transposed convolution, kernel 2x2, stride 2",
        "weight_layout": "OIHW; depthwise is C x 1 x K x K; spread is O x I x 2 x 2",
        "licence": "Apache-2.0",
        "source": SOURCE,
    }
    return tensors, metadata
