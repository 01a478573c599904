"""
Deterministic simulation: the library's own owner, middleware and stores in a world of seeded time, network and order.

``python -m tests.simulation --seeds 100000 --from 5000`` tries new seeds on all cores; ``--seed N`` runs one of them; ``defects``
puts faults into copies of the package and prints what finds each. The test suite runs the same seeds each time. Beneath aiohttp's own client there are connections in memory, an API and a
login endpoint that misbehave as planned, and a simulated Redis. The schedule of a failing seed is shortened.

What an owner may do is judged by what the simulated API, stores and network saw (``_ledger``, ``_rules``), not by the engine's
own counters. Time passes with each callback, also while waiters wake.

The idea is FoundationDB's and TigerBeetle's: one thread, virtual time, every choice drawn from one seed, faults all the time.
The libraries for asyncio need a newer Python than this package (simloop, simloom), or have virtual time without a drawn order
(looptime).
"""
