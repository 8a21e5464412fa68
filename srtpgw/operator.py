"""The operator commands as programs of their own: ``sec_policy -print``, or ``python -m srtpgw.operator`` before it.

Each console script is a name of this module (``srtpgw.operator:sec_policy``), made when it is asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from srtpgw.control.commands.table import FAMILIES

if TYPE_CHECKING:
    from srtpgw.control.commands.console import Place


def main(name: str, words: Sequence[str] | None = None, program: str = "") -> int:
    """Run the command of this name with the words behind it (else those of this process). The exit status."""
    from srtpgw.control.commands.console import run

    return run(name, sys.argv[1:] if words is None else words, configure, program)


def configure(state_dir: str | None, file: str | None) -> Place:
    """What the process settings say of the state. Raises ConfigError."""
    from srtpgw.config import load
    from srtpgw.control.commands.console import Place

    config = load({"state-dir": state_dir}, file=file)
    return Place(config.state_dir, config.realm, parents=config.at_default_place)


def __getattr__(name: str) -> Callable[[], int]:
    if name not in FAMILIES:
        raise AttributeError(name)
    return partial(main, name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]))
