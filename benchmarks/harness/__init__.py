"""
What the scenarios share.

``server`` is the API that they measure against, in a separate process, and ``api`` is the client's side of it. ``process``
starts processes that take orders, ``growth`` processes whose memory is measured. ``report`` repeats measurements in random
order and prints tables; ``cost`` measures blocks of requests; ``machine`` describes the machine and notes what it does.
``baselines`` are middlewares to compare with.
"""
