"""Intel ipsec-mb, where its headers, its library and a C compiler are installed (Debian: libipsec-mb-dev, gcc)."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from srtpgw import _native

from .flows import master_keys, session_keys

SOURCE = Path(__file__).with_name("ipsec_mb.c")
CONTRACT = Path(__file__).parent.parent / "ext"  # crypto/crypto.h
COMPILE_SECONDS = 60

# Each is tried, and the quickest at a batch size is the peer. The second: what filling its jobs takes, if it has any.
WAYS = {
    "AES-CM": (("job", "burst", "halves", "job_sse", "burst_sse"), "fill"),
    "AES-GCM": (("job", "burst", "direct"), "fill"),
}
WITHOUT_JOBS = ("direct",)
PREFIX = {"AES-CM": "mb_cm_", "AES-GCM": "mb_gcm_"}


class Library:
    """The compiled shim. Keys live as long as this does."""

    def __init__(self, path: Path) -> None:
        self.shim = ctypes.CDLL(str(path))
        self.shim.mb_version.restype = ctypes.c_char_p
        self.shim.mb_key_new.restype = ctypes.c_void_p
        self.shim.mb_key_new.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
        self.shim.mb_key_free.argtypes = [ctypes.c_void_p]
        self.keys: list[int] = []
        self.made_for: tuple[str, int] | None = None
        if self.shim.mb_open() != 0:
            raise OSError("it does not start on this CPU")

    @property
    def version(self) -> str:
        return str(self.shim.mb_version().decode())

    def address(self, name: str) -> int:
        return ctypes.cast(getattr(self.shim, name), ctypes.c_void_p).value or 0

    def keys_for(self, suite: str, flows: int) -> list[int]:
        """Addresses of the flows' keys in its own form."""
        if self.made_for != (suite, flows):
            for key in self.keys:
                self.shim.mb_key_free(key)
            made = session_keys(suite, master_keys(suite, flows))
            self.keys = [self.shim.mb_key_new(k.cipher, len(k.cipher), k.auth, len(k.auth)) for k in made]
            self.made_for = (suite, flows)
        return self.keys

    def loops(self, cipher: str, suite: str, contexts: list[_native.Context], payload: int, chunk: int) -> Loops:
        """Its ways over the flows of these contexts."""
        names, fill = WAYS[cipher]
        keys = self.keys_for(suite, len(contexts))
        return {
            name: _native.KernelLoop(contexts, payload, chunk, False, self.address(PREFIX[cipher] + name), keys)
            for name in (*names, fill)
        }


Loops = dict[str, _native.KernelLoop]


def compiled(folder: Path) -> Path:
    """The shim, or OSError with the reason why it cannot be had."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise OSError("no C compiler is installed")
    out = folder / "ipsec_mb.so"
    command = [compiler, "-O2", "-shared", "-fPIC", f"-I{CONTRACT}", str(SOURCE), "-lIPSec_MB", "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip().splitlines()[0] if done.stderr.strip() else "the compiler fails")
    return out


@cache
def library() -> Library | str:
    """The library, or why it is left out."""
    with tempfile.TemporaryDirectory(prefix="srtpgw-bench-") as folder:
        try:
            return Library(compiled(Path(folder)))
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)


def require_same(loop: _native.KernelLoop, ours: _native.KernelLoop, batch: int) -> None:
    """Both protect the same packets: the same octets must come out."""
    ours.run(batch)
    loop.run(batch)
    if loop.octets() != ours.octets():
        pytest.fail("ipsec-mb and the kernel protect the same packets differently")
