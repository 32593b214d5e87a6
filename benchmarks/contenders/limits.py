"""What one thread of this machine can do at most: operations a second, and bytes a second by how many are read.

The peak is the fastest of several large matrix products: NumPy's (its BLAS) in float32, and ONNX Runtime's
``MatMulInteger`` of 8-bit integers. The bandwidth is that of a scalar product of two float32 vectors (BLAS, too),
which reads each value once: what is small comes from a cache, as a small model's weights do when text follows text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIDE = 1024
#: Bytes that are read, from what a level-one cache holds to far more than any.
SIZES = tuple(2**power for power in range(14, 29, 2))
REPEATS, SECONDS = 7, 0.1


def measure_limits() -> dict[str, Any]:
    """GFLOP/s and GOP/s (a multiply-add is two) and GB/s by size; run it with one thread (``OMP_NUM_THREADS=1``)."""
    random = np.random.default_rng(0)
    left, right = (random.standard_normal((SIDE, SIDE)).astype(np.float32) for _ in range(2))
    out = np.empty_like(left)
    operations = 2 * SIDE**3
    session = _integer_product(random)
    numbers = {"left": random.integers(0, 255, (SIDE, SIDE), dtype=np.uint8)}
    bandwidth = {}
    for size in SIZES:
        vectors = [random.standard_normal(size // 8).astype(np.float32) for _ in range(2)]
        bandwidth[size] = size / _seconds(lambda pair=vectors: np.dot(*pair)) / 1e9
    return {
        "gflops_fp32": operations / _seconds(lambda: np.matmul(left, right, out=out)) / 1e9,
        "gops_int8": operations / _seconds(lambda: session.run(None, numbers)) / 1e9,
        "gb_per_second": bandwidth,
        "how": f"the fastest of {REPEATS} runs of {SECONDS} s, one thread: products of {SIDE} × {SIDE} matrices "
        "(NumPy float32; ONNX Runtime MatMulInteger, unsigned by signed 8 bits), scalar products of float32 vectors",
    }


def roofline_ms(limits: dict[str, Any], multiply_adds: float, bytes_read: float, precision: str) -> float:
    """The least time that the counted work could take: the slower of computing and reading (Williams et al., 2009)."""
    peak = limits["gops_int8" if precision == "int8" else "gflops_fp32"] * 1e9
    sizes = {int(size): speed for size, speed in limits["gb_per_second"].items()}
    # What is read of more bytes can be read of fewer: the smallest sizes show the time of a call.
    bandwidth = max((speed for size, speed in sizes.items() if size >= bytes_read), default=sizes[max(sizes)])
    return 1e3 * max(2 * multiply_adds / peak, bytes_read / (bandwidth * 1e9))


def _integer_product(random: np.random.Generator) -> Any:
    import onnx
    import onnxruntime

    weights = onnx.numpy_helper.from_array(random.integers(-127, 127, (SIDE, SIDE), dtype=np.int8), "right")
    given = onnx.helper.make_tensor_value_info("left", onnx.TensorProto.UINT8, (SIDE, SIDE))
    found = onnx.helper.make_tensor_value_info("product", onnx.TensorProto.INT32, (SIDE, SIDE))
    node = onnx.helper.make_node("MatMulInteger", ["left", "right"], ["product"])
    graph = onnx.helper.make_graph([node], "product", [given], [found], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _seconds(run: Callable[[], object]) -> float:
    """The least mean time of a call in ``REPEATS`` runs of ``SECONDS`` each."""
    best = float("inf")
    for _ in range(REPEATS):
        calls, start = 0, time.perf_counter()
        while time.perf_counter() - start < SECONDS:
            for _ in range(10):
                run()
            calls += 10
        best = min(best, (time.perf_counter() - start) / calls)
    return best
