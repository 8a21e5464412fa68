"""What is brought to the disk, and in which order: a power cut takes the rest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """From now on: ``sync NAME`` for each file or directory, ``name NAME`` for each file that gets its name."""
    seen: list[str] = []
    fsync, rename, link = os.fsync, Path.rename, os.link

    def watched_fsync(handle: int) -> None:
        fsync(handle)
        seen.append(f"sync {Path(f'/proc/self/fd/{handle}').readlink().name}")

    def watched_rename(path: Path, target: Path) -> Path:
        seen.append(f"name {target.name}")
        return rename(path, target)

    def watched_link(source: Path, target: Path, **more: Any) -> None:
        link(source, target, **more)
        seen.append(f"name {target.name}")

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    monkeypatch.setattr(os, "link", watched_link)
    return seen
