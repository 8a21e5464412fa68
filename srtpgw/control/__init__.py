"""The control module: what the operator has set, the rules over it, and the commands that change it.

One SQLite file holds all of it (``store``). Readers get a ``model.State``, which never changes. The rules are pure
functions of values (``policy``, ``media_policy``), and so are the commands (``commands/``): a state and options come
in, an outcome with the changes it wants goes out, and only the store carries changes out.
"""
