"""Starting another Python with the same srtpgw: not the one that happens to lie in the working directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import srtpgw


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", *arguments]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(srtpgw.__file__).resolve().parent.parent), **extra}
