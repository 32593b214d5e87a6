"""``python -m tlm_edge``: the command line."""

from tlm_edge.cli import main

if __name__ == "__main__":
    main()
