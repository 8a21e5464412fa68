"""C programs that hold kernels against `generic`, built from ext/crypto and a source in this folder: once as in a
release, and once under the sanitizers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from support import ROOT

BUILDS = {
    "release": ("-O3",),
    "sanitized": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
}


def build(name: str, kind: str, folder: Path) -> Path:
    """The program of NAME.c in the folder; kind is one of BUILDS."""
    path = folder / name
    sources = [ROOT / f"tests/native/{name}.c", *sorted((ROOT / "ext/crypto").glob("*.c"))]
    command = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *BUILDS[kind], f"-I{ROOT / 'ext/crypto'}"]
    built = run(*command, "-o", str(path), *map(str, sources))
    assert built.returncode == 0, built.stderr
    return path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Without what another sanitizer may have put into the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
