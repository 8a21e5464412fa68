"""The operator commands: one file per family, each a table of commands and the pure functions that carry them out.

``table`` says what a command is and finds it by name; ``console`` makes the command line of it and runs it.
"""
