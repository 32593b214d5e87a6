"""Who takes part in ``rivals.py``, how each is fitted, loaded and counted, and how they take turns.

``rows`` are the tasks; ``simple``, ``static``, ``ours``, ``early_exit`` and ``others`` make the contenders; ``worker``
is the process of one of them, ``process`` the side that calls it, ``timing`` who is called when; ``arithmetic`` counts,
``limits`` measures what the machine could do at most, ``figures`` compares, and ``members`` tells of committees of
every size.
"""
