"""Builds a test-only variant of the native module in a tree of its own and runs the interpreter on it.

    python tests/native/variant.py asan -m pytest tests/native tests/vectors
    python tests/native/variant.py asan tests/fuzz/fuzz_relay.py --seconds 3600
    python tests/native/variant.py asan tests/fuzz/fuzz_capture.py --seconds 3600
    python tests/native/variant.py trace -m coverage run -m pytest tests/native

`asan` is AddressSanitizer with UndefinedBehaviorSanitizer: any report makes the exit status non-zero. It also counts
the edges of the code that were taken, for the fuzz drivers. `trace` lets coverage see the Cython files; it takes the
GIL for every line, so it is for counting lines and nothing else. The tree (build/asan, build/trace) is built again when
ext/ or setup.py has changed. Needs the `dev` extra.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("ext", "srtpgw", "tests")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
TRACE_ENVIRONMENT = {"COVERAGE_CORE": "ctrace", "SRTPGW_TRACED": "1"}
LEFT_OUT = shutil.ignore_patterns("*.so", "_native.c", "__pycache__", ".*")


def digest() -> str:
    """Of everything that the native module is built from."""
    total = hashlib.sha256()
    for path in [ROOT / "setup.py", *sorted((ROOT / "ext").rglob("*"))]:
        if path.is_file() and path.name != "_native.c":
            total.update(f"{path.relative_to(ROOT)}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def copy_sources(tree: Path, folders: tuple[str, ...]) -> None:
    if (tree / "tests").exists():
        shutil.rmtree(tree / "tests")
    for folder in folders:
        shutil.copytree(ROOT / folder, tree / folder, ignore=LEFT_OUT, dirs_exist_ok=True)
    for name in FILES:
        shutil.copy2(ROOT / name, tree / name)


def build(kind: str, tree: Path) -> None:
    stamp = tree / ".digest"
    wanted = digest()
    if stamp.is_file() and stamp.read_text() == wanted:
        copy_sources(tree, ("srtpgw", "tests"))
        return
    if tree.exists():
        shutil.rmtree(tree)
    tree.mkdir(parents=True)
    copy_sources(tree, FOLDERS)
    environment = {**os.environ, "SRTPGW_BUILD": kind}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=tree, env=environment, check=True)
    stamp.write_text(wanted)


def library(name: str) -> str:
    answer = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def sanitizer_environment(reports: Path) -> dict[str, str]:
    """The interpreter itself is not instrumented, so the run-time libraries are loaded before it.

    Leaks are not looked for: every stack goes through libpython, so its own would hide ours; native leaks are counted
    by tests. pytest would swallow a report on the descriptor that it captures: hence the log files and capture=sys.
    """
    return {
        "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": f"detect_leaks=0:log_path={reports}/asan",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTEST_ADDOPTS": "--capture=sys",
    }


def run(kind: str, tree: Path, arguments: list[str]) -> int:
    """Runs the interpreter in the tree. Gives its exit status, or 1 when a sanitizer reported anything."""
    with tempfile.TemporaryDirectory(prefix="srtpgw-reports-") as folder:
        reports = Path(folder)
        special = sanitizer_environment(reports) if kind == "asan" else TRACE_ENVIRONMENT
        environment = {**os.environ, **special, "PYTHONPATH": str(tree)}
        status = subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, check=False).returncode
        found = sorted(reports.iterdir())
        for report in found:
            print(report.read_text(errors="replace"), file=sys.stderr)
        return status or (1 if found else 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("asan", "trace"))
    parser.add_argument("--tree", type=Path, help="where to build (default: build/KIND)")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the interpreter is to run")
    options = parser.parse_args()
    tree = (options.tree or ROOT / "build" / options.kind).resolve()
    build(options.kind, tree)
    return run(options.kind, tree, options.arguments) if options.arguments else 0


if __name__ == "__main__":
    sys.exit(main())
