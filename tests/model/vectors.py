"""The published vectors in tests/vectors/, and beside the checkout where reference material is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support import ROOT, shared_dir

Vector = dict[str, Any]
FILE = ROOT / "tests/vectors/published.json"


def files() -> list[Path]:
    shared = shared_dir()
    other = shared / "vectors/published.json" if shared else None
    return [FILE, other] if other and other.is_file() else [FILE]


def load(section: str) -> list[Vector]:
    """Every entry of a section in every file, once: the files hold the same entries under the same id."""
    entries: dict[str, Vector] = {}
    for path in files():
        for entry in json.loads(path.read_text(encoding="utf-8"))[section]:
            known = entries.setdefault(entry["id"], entry)
            differing = [name for name in known.keys() & entry.keys() if known[name] != entry[name]]
            assert not differing, f"{entry['id']}: the files disagree about {differing}"
    return list(entries.values())


def octets(entry: Vector, name: str) -> bytes:
    return bytes.fromhex(entry.get(name, ""))
