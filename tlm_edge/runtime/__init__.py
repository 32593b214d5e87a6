"""Runs a bundle with numpy, tokenizers and one runtime: no PyTorch, nothing of the rest of the package."""

import os

# ONNX Runtime reports its use to its maker over the network, in a thread of its own, unless this is set before it is
# imported, which no room does before this one.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
