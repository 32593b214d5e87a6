"""The experiments of *Tiny language models* (arXiv 2507.14871): plans of many runs, stopped and resumed at will."""
