"""Runs a bundle with numpy, tokenizers and one runtime: no PyTorch, nothing of the rest of the package."""
