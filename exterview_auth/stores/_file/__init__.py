"""
Tokens in private files, for the processes of one host and user.

An account has up to four files, named after a hash of it: ``.token`` (the entry), ``.lock`` (its owners' lock while one of
them logs in), ``.saving`` (a short lock around each write) and ``.breaking`` (a short lock around replacing a stale one).

``store.py`` is what users construct. ``entries.py`` reads and replaces entries, in threads, because file systems block.
``host_lock.py`` is a kernel lock, which a dead process frees at once; its file's times are the lease, by which a frozen process
loses it. ``backend.py`` puts both together for `AccountLock`, and notices changes by looking at the file
again and again. ``directory.py`` keeps the directory private, looks at owner and mode at each use, and replaces files whole.

The modification time of an entry's file is the moment until which the entry is kept: after a save, ``sweeping.py`` looks at those
that lie in the past, and removes what is over. In a directory that was created here, ``.gitignore`` keeps the tokens out of ``git add``.
"""
