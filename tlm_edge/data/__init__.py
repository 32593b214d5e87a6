"""Corpora, classification tasks and tokenizers: text in, examples and token ids out."""
