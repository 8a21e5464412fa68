"""The demonstration: operator commands on a store of its own, two calls through a gateway on loopback under the flags
that they set, five attacks on one of the calls, and a verdict.

``run_demo`` does it and returns plain values; ``main`` prints them. Nothing is judged by how long it took: whatever
is counted is waited for, and what does not come within ``DemoPlan.patience`` is a failed check.
"""

from srtpgw.demo.attacks import ATTACKS
from srtpgw.demo.result import DemoError, DemoPlan, DemoResult
from srtpgw.demo.run import run_demo
from srtpgw.demo.show import main, show

__all__ = ["ATTACKS", "DemoError", "DemoPlan", "DemoResult", "main", "run_demo", "show"]
