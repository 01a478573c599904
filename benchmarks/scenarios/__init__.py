"""
What the library costs in one process.

A module whose name the command takes has a ``report``; ``overhead`` includes ``middleware_alone`` with its ``steps``. A module
``..._worker`` is the program of a separate process whose memory is measured.
"""
