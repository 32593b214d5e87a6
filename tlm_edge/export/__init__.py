"""From a checkpoint or committee to a verified bundle: one module a target."""
