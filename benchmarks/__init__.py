"""
Programs that measure what the library costs: ``python -m benchmarks`` in the checkout.

Each scenario has a function ``report``, which returns tables for people and figures for ``--json``. Scenarios of one process
are modules in ``scenarios``; ``fleet``, ``soak``, ``simulation``, ``peers`` and ``instructions`` have folders. ``harness`` holds
what they share. ``storm_chart`` draws the README's picture of a storm.
"""
