"""
Deterministic simulation: the library's own owner, middleware and stores in a world whose time, network and order come from a seed.

``python -m tests.simulation --seeds 100000`` runs many seeds on all cores; ``--seed N`` one of them; ``defects`` puts faults into
copies of the package and prints what finds each. Beneath aiohttp's own client there are connections in memory, an API and a
login endpoint that misbehave as planned, and a Redis that is not there. A failing seed is made as short as it gets.

The idea is FoundationDB's and TigerBeetle's: one thread, virtual time, every choice drawn from one seed, faults all the time. What
exists for asyncio asks for a newer Python than this package (simloop, simloom), or has virtual time without an order that can
be drawn (looptime).
"""
