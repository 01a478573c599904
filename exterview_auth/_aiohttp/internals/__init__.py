"""
Every access to a private name of aiohttp: one folder to look at when aiohttp changes. Tried with aiohttp 3.14.

`needed` lists these names, and the public ones that are used in an unusual way: `queued` replaces the ``send`` and
``write_bytes`` of a request, and what describes a request's body and cookies is drawn anew by its own ``update_`` methods. On
first use all of them are looked at. If one is missing, a sentence says so before anything is sent.

`imported` has the classes that aiohttp does not export. What is done with `sessions`, `requests` and `answers` is in a module for
each: every function says what it needs, and why there is no public way.
"""
