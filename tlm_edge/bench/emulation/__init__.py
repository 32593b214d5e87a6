"""An arm64 machine without the machine: its userland, its processor under qemu-user, and what can be told of it."""
