"""Load tests: calls through a gateway at a fixed rate, what came out of it, and the highest load that passes whole.

Imported by the commands when they run, never at start-up. docs/load.md tells how to use it.
"""
