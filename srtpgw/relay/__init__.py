"""``srtpgw relay``: sessions written in a file, without signaling.

``file`` reads and checks it (what its entries may be is in ``values``), ``sessions`` keeps what runs in line with it,
``daemon`` is the running process and ``output`` what it shows.
"""
