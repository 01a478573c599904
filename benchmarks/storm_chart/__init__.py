"""
The README's picture of a storm: ``python -m benchmarks.storm_chart FILE``.

``storm`` runs it over real sockets, ``states`` counts requests by state, ``drawing`` and ``panel`` draw the counts with the
colours of ``style`` and the elements of ``svg``.
"""
