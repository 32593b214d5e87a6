"""Exact rewrites of trained models before export: the same logits for less arithmetic."""
