"""Pre-training and fine-tuning: from text to a checkpoint."""
