"""Measures bundles on devices: the protocol, the workers, and the records they leave."""
