"""``srtpgw bench``: gateways side by side, in network namespaces, by the CPU time of all cores.

docs/benchmarking.md tells the method. Parts: ``namespaces`` and ``launch`` make the place, ``drop`` stands for a
gateway that costs nothing, ``peers`` start what is measured, ``load`` drives `srtpgw load`, ``cpu`` counts, ``matrix``
says what is run, ``run`` runs it, ``result`` keeps it, ``figures`` calculates, ``table``, ``html`` and ``compare`` show
it.
"""
