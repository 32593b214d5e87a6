"""The native runner of ExecuTorch programs: its source, and how it is built and called. No PyTorch anywhere."""
