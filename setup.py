"""Builds the one extension module, srtpgw._native, from ext/.

Everything else about the package is in pyproject.toml. SRTPGW_BUILD selects a test-only build: `asan` (AddressSanitizer
and UndefinedBehaviorSanitizer, with edges counted for the fuzz drivers) or `trace` (line tracing for coverage of the
Cython files). cythonize does not notice a changed directive, so each kind of build belongs in a source tree of its own.
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

BUILD_KINDS = ("", "asan", "trace")

DIRECTIVES = {
    "language_level": 3,
    # Without these four, a division or an index in nogil code carries an error path that takes the GIL.
    "cdivision": True,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "embedsignature": True,
}

WARNINGS = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]
COMPILE = ["-O3", "-g0", "-std=gnu11", "-fvisibility=hidden"]
# Python's own -fwrapv switches the signed overflow checks off, so it is taken back. object-size is left out because it
# would report before AddressSanitizer does, and say less.
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-sanitize=object-size"]
COMPILE_ASAN = ["-O1", "-g", "-std=gnu11", "-fno-omit-frame-pointer", "-fno-wrapv", *SANITIZE]
# Edges are counted for the fuzz drivers (tests/fuzz/edges.c), in the same build: a second one would take CI a minute.
# Of the Cython code only: the hook makes a kernel spill to the stack what it holds in registers, and decides nothing.
EDGES = ["-fsanitize-coverage=trace-pc"]
WITH_EDGES = "_native.c"


class BuildExtension(build_ext):
    """Compiles each source alike, but for the edges of the sanitizer build."""

    def build_extension(self, ext: Extension) -> None:
        plain = self.compiler._compile

        def compile_one(obj: str, src: str, ext: str, cc: list[str], extra: list[str], options: list[str]) -> None:
            edges = EDGES if KIND == "asan" and Path(src).name == WITH_EDGES else []
            plain(obj, src, ext, cc, [*extra, *edges], options)

        self.compiler._compile = compile_one
        super().build_extension(ext)


def native_extension(kind: str) -> Extension:
    sources = ["ext/_native.pyx", *sorted(str(path) for path in Path("ext").glob("*/*.c"))]
    sources += ["tests/fuzz/edges.c"] if kind == "asan" else []
    depends = sorted(str(path) for pattern in ("*.h", "*/*.h", "*.pxi", "*.pxd") for path in Path("ext").glob(pattern))
    return Extension(
        "srtpgw._native",
        sources,
        include_dirs=["ext"],
        depends=depends,
        define_macros=[("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1")] if kind == "trace" else [],
        extra_compile_args=WARNINGS + (COMPILE_ASAN if kind == "asan" else COMPILE),
        extra_link_args=SANITIZE if kind == "asan" else [],
        libraries=["pthread", "dl"],
    )


def build_kind() -> str:
    kind = os.environ.get("SRTPGW_BUILD", "")
    if kind not in BUILD_KINDS:
        raise SystemExit(f"SRTPGW_BUILD={kind!r}: not one of {', '.join(k for k in BUILD_KINDS if k)}")
    return kind


KIND = build_kind()
setup(
    cmdclass={"build_ext": BuildExtension},
    ext_modules=cythonize(
        [native_extension(KIND)],
        include_path=["ext"],
        compiler_directives={**DIRECTIVES, "linetrace": KIND == "trace"},
    ),
)
