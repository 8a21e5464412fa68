"""``srtpgw run``: the gateway with the store of settings, as one process, and ``srtpgw status``, which asks it.

``daemon`` is the running process, ``start`` what it does to the store first, ``supervision`` its lock and its words to
the service manager, ``status`` the socket that answers, ``overview`` what the answer says, ``log`` its lines on
standard error, ``command`` the command line.
"""
