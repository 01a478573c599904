"""
Real processes that share one account and one store: how many logins there are, and how soon all processes serve again.

``scenario`` starts a ``crew`` of ``worker`` processes and has it play ``storm``, ``wakeup``, ``kill`` and ``traffic``, each on
files and on Redis.
"""
