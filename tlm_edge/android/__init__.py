"""The demo app from the host's side: its parts, its build, and the phone it runs on."""
