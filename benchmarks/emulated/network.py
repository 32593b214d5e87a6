"""One inference of a network in ncnn, marked for the emulator's observer; ``../emulated_latency.py`` runs it on arm64.

It reads a JSON object from standard input: ``network`` in ncnn's text format, the ``side`` of its square image, and
the blob that is its ``output``. Weights are zero: what is executed doesn't depend on them.
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from tlm_edge.bench.worker import BEGIN, END, mark


def main() -> None:
    job = json.load(sys.stdin)
    ncnn = _ncnn()
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.load_param_mem(job["network"])
    net.load_model(ncnn.DataReaderFromEmpty())
    image = ncnn.Mat(job["side"], job["side"], 3)
    image.fill(0.01)

    def infer():
        extractor = net.create_extractor()
        extractor.set_light_mode(True)
        extractor.input("data", image)
        return extractor.extract(job["output"])

    infer()
    mark(BEGIN)
    fault, output = infer()
    mark(END)
    print(output.w if fault == 0 else fault)


def _ncnn():
    """ncnn's native module alone: its package imports a zoo of models that need more packages."""
    package = ModuleType("ncnn")
    package.__path__ = [str(Path(str(place)) / "ncnn") for place in sys.path if (Path(str(place)) / "ncnn").is_dir()]
    sys.modules["ncnn"] = package
    assert find_spec("ncnn.ncnn") is not None
    import ncnn.ncnn as native

    return native


if __name__ == "__main__":
    main()
