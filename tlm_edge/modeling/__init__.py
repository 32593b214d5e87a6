"""The encoder, its heads, checkpoints and committees."""
