"""
A fleet of any size in virtual time, with the library's own keeper and store.

``process`` is one process: keeper, store and requests. All processes share a ``redis`` (with its ``keyspace`` and ``client``) and
an ``api`` over a ``network`` whose delays and losses are drawn from seeds. ``run`` starts and ends a fleet and counts; ``scenes``
lists what can happen to it. ``python -m benchmarks simulation`` prints the figures.
"""
