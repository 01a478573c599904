"""
Two processes under load whose API, tokens and Redis are disturbed all the time: no answer is wrong, and nothing grows.

``stage`` starts Redis, the ``server`` and two ``worker`` processes, which send ``requests`` with their ``owners``. ``course``
runs traffic, ``disturbances`` and rests; ``judge`` decides which failures are right, ``flatness`` what has grown.
"""
