"""Rules over the source tree: direction of imports, where I/O may live, sizes, words, and the README's commands.

Each rule is a function from a path and a text to a list of faults. One test runs all of them over the tree; the others
give each rule something broken, so that a rule that finds nothing any more is found out.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

import pytest
from support import ROOT

# Parts of the package, lowest first. A part imports itself and lower rows; within a row the parts are strangers.
LAYERS = (
    {"_native", "hosts"},
    {"address", "errors", "page", "terms"},
    {"libsrtp", "hardening", "streams"},
    {"sdp", "srtp"},
    {"media", "control"},
    {"sip", "h323", "ng", "manager", "capture", "loadtest", "terminal", "metrics", "table"},
    {"cli", "demo", "composition", "config", "document", "operator", "relay", "service", "values", "writer"},
)
LEVEL = {part: level for level, row in enumerate(LAYERS) for part in row}
TOP = len(LAYERS) - 1  # composition: the only row whose parts may import each other

# Files of the package with I/O, clocks, tasks; hardening.py sets the limits of the process. All else takes octets and
# `now` and returns values.
IO_FILES = {"transport.py", "service.py", "store.py", "cli.py", "config.py", "document.py", "hardening.py",
            "streams.py", "writer.py"}  # fmt: skip
IO_FOLDERS = ("srtpgw/terminal/", "srtpgw/loadtest/")
IO_OF_FOLDERS = {
    "srtpgw/capture/": {"source.py", "writer.py", "audio.py", "command.py", "dissector.py"},  # files, tshark
    # The state directory and its key file, the database, the run of a command with what it asks, reads and writes, and
    # certificates handed to the TLS library, which takes files only.
    "srtpgw/control/": {"directory.py", "store.py", "backup.py", "console.py", "asking.py", "files.py", "tls.py"},
    "srtpgw/demo/": {"calls.py", "commands.py", "run.py", "show.py"},
    "srtpgw/relay/": {"daemon.py", "output.py"},  # the running process, and what it shows
    "srtpgw/service/": {"command.py", "daemon.py", "log.py", "status.py", "supervision.py"},
}
SQLITE = {"srtpgw/control/store.py", "srtpgw/control/backup.py"}  # the only users of the database library
IO_MODULES = re.compile(
    r"(asyncio|concurrent|fcntl|glob|http|mmap|multiprocessing|resource|sched|select|selectors|shutil|signal|socket"
    r"|socketserver|sqlite3|subprocess|tempfile|termios|threading|time|urllib)(\.|$)"
)
IO_CALLS = {"open", "input", "print"}
IO_METHODS = re.compile(r"(read|write)_(text|bytes)|unlink|mkdir|touch|utcnow|today")
OS_ALLOWED = {"PathLike", "cpu_count", "fspath", "sched_getaffinity", "urandom"}

# Native files that may make system calls and read clocks; the rest is batch in, batch out.
NATIVE_IO = re.compile(r"ext/((engine|load)/.*|(loop|pcap|load)\.\w+)$")
NATIVE_CALL = re.compile(
    r"(?<![\w.>])(?:socket|bind|connect|listen|send(?:to|msg|mmsg)?|recv(?:from|msg|mmsg)?|[gs]etsockopt|poll"
    r"|epoll_\w+|eventfd|timerfd_\w+|clock_gettime|gettimeofday|time|nanosleep|usleep|pthread_(?:create|join|mutex_\w+)"
    r"|syscall|ioctl|fcntl|open|openat|read|write|close|fopen|printf|fprintf|getenv)\s*\("
)

FILE_LINES = 500
FUNCTION_LINES = 60
EXCUSE = "over 500 lines because"
# Written so that this file does not hold what it looks for.
WORDS = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|DESIG[N])\b|/wor[k]/|/tmp/ven[v]")
PRIVATE_KEY = re.compile("-----BEGIN [A-Z ]*PRIVATE[ ]KEY-----")

SOURCES = {".py", ".pyi", ".pyx", ".pxi", ".pxd", ".c", ".h"}
TEXTS = SOURCES | {".md", ".toml", ".cfg", ".json", ".in", ".sh", ""}
FOLDERS = ("srtpgw", "ext", "tests", "bench", "docs", "certs", ".ci")
GENERATED = {"ext/_native.c"}

Rule = Callable[[str, str], list[str]]


def tree() -> Iterator[str]:
    """Every file of the project, relative to its root."""
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and path.suffix in TEXTS and path.name != ".git":
            yield path.name
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and path.suffix in TEXTS and name not in GENERATED and "/." not in name:
                yield name


def runtime_nodes(text: str) -> Iterator[ast.AST]:
    """All nodes of a module but those that only a type checker sees."""
    pending: list[ast.AST] = [ast.parse(text)]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def imported(path: str, nodes: Iterator[ast.AST]) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of each import; `from a import b` gives a.b."""
    package = PurePosixPath(path).parent.parts
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def part_of(path: str) -> str:
    return PurePosixPath(path).parts[1].removesuffix(".pyi").removesuffix(".py")


def import_direction(path: str, text: str) -> list[str]:
    own = part_of(path)
    if own in {"__init__", "__main__"}:
        return []
    if own not in LEVEL:
        return [f"{path}: {own} has no row in LAYERS"]
    faults = []
    for line, name in imported(path, iter(ast.walk(ast.parse(text)))):
        parts = name.split(".")
        if parts[0] != "srtpgw" or parts[1] in {own, "__version__"}:
            continue
        if parts[1] not in LEVEL:
            faults.append(f"{path}:{line}: {name} has no row in LAYERS")
        elif LEVEL[parts[1]] >= LEVEL[own] and not LEVEL[parts[1]] == LEVEL[own] == TOP:
            faults.append(f"{path}:{line}: {own} may not import {parts[1]}")
    return faults


def io_rule(path: str, text: str) -> list[str]:
    name = PurePosixPath(path).name
    if name in IO_FILES or path.startswith(IO_FOLDERS):
        return []
    if any(path.startswith(folder) and name in names for folder, names in IO_OF_FOLDERS.items()):
        return []
    nodes = list(runtime_nodes(text))
    imports = imported(path, iter(nodes))
    faults = [f"{path}:{line}: imports {name}" for line, name in imports if IO_MODULES.match(name)]
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            if node.attr not in OS_ALLOWED:
                faults.append(f"{path}:{node.lineno}: os.{node.attr}")
        elif isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name) and function.id in IO_CALLS:
                faults.append(f"{path}:{node.lineno}: {function.id}()")
            elif isinstance(function, ast.Attribute) and IO_METHODS.fullmatch(function.attr):
                faults.append(f"{path}:{node.lineno}: .{function.attr}()")
    return faults


def one_user_of_sqlite(path: str, text: str) -> list[str]:
    """One settings store: nothing else speaks to the database."""
    names = imported(path, iter(ast.walk(ast.parse(text))))
    return [f"{path}:{line}: {name}" for line, name in names if re.match(r"sqlite3\b", name) and path not in SQLITE]


def declared(*extras: str) -> set[str]:
    """Import names of the packages that pyproject.toml declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    names = {re.split(r"[<>=~!\[; ]", line, maxsplit=1)[0].lower().replace("-", "_") for line in lines}
    if "aiortc" in names:
        names.add("av")  # aiortc's interface is made of av frames
    if "pyopenssl" in names:
        names.add("OpenSSL")
    return names


def declared_dependencies(path: str, text: str) -> list[str]:
    """What a file imports is the standard library, declared, or a helper beside it."""
    known = {"srtpgw", "support", *sys.stdlib_module_names, *declared()}
    if not path.startswith("srtpgw/"):
        known |= declared("test", "bench") | {entry.name for entry in (ROOT / "tests").iterdir() if entry.is_dir()}
    absolute = (node for node in ast.walk(ast.parse(text)) if not getattr(node, "level", 0))
    return [
        f"{path}:{line}: {name} is not declared in pyproject.toml"
        for line, name in imported(path, absolute)
        if name.split(".")[0] not in known
    ]


def lazy_media_library(path: str, text: str) -> list[str]:
    """aiortc takes 0.2 s and 100 MB to import: the terminal, the load test and the decoding of audio only."""
    if path.startswith(IO_FOLDERS) or path == "srtpgw/capture/audio.py":
        return []
    names = imported(path, runtime_nodes(text))
    return [f"{path}:{line}: {name} belongs in terminal/" for line, name in names if re.match(r"(aiortc|av)\b", name)]


def python_functions(path: str, text: str) -> list[str]:
    return [
        f"{path}:{node.lineno}: {node.name} has {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    ]


def without_comment(line: str) -> str:
    return line.split("#", 1)[0].rstrip()


def cython_headers(lines: list[str]) -> Iterator[tuple[int, int, str]]:
    """(first line, line after, text) of each function header: `def` or `cdef` up to the colon behind its parameters."""
    start = 0
    while start < len(lines):
        if not re.match(r"\s*(cdef|cpdef|def)\b(?!.*\b(class|extern|struct|enum|union)\b)[^=]*\(", lines[start]):
            start += 1
            continue
        end, header = start + 1, without_comment(lines[start])
        while header.count("(") > header.count(")") and end < len(lines):
            header += " " + without_comment(lines[end]).strip()
            end += 1
        if header.endswith(":"):
            yield start, end, header
        start = end


def cython_functions(path: str, text: str) -> list[str]:
    lines = text.splitlines()
    faults = []
    for start, end, header in cython_headers(lines):
        indent = len(header) - len(header.lstrip())
        last = start
        for number in range(end, len(lines)):
            line = lines[number]
            if line.strip() and len(line) - len(line.lstrip()) <= indent:
                break
            last = number if line.strip() else last
        if last - start + 1 > FUNCTION_LINES:
            faults.append(f"{path}:{start + 1}: function of {last - start + 1} lines")
    return faults


def cython_nogil(path: str, text: str) -> list[str]:
    """A nogil function without noexcept or an error value takes the GIL after every call to ask for an exception."""
    return [
        f"{path}:{start + 1}: nogil without noexcept or except"
        for start, _, header in cython_headers(text.splitlines())
        if re.search(r"\)[^()]*\bnogil\b", header) and not re.search(r"\b(noexcept|except)\b", header)
    ]


def c_code(text: str) -> str:
    """C without comments, strings and character constants; the line numbers stay."""
    blank = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])+'"
    return re.sub(blank, lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)


def c_functions(path: str, text: str) -> list[str]:
    faults = []
    depth, start, head = 0, 0, ""
    for number, line in enumerate(c_code(text).splitlines(), 1):
        if depth == 0 and not line.startswith("#"):
            head = head + line if head else line
            start = start if head != line else number
        before, depth = depth, depth + line.count("{") - line.count("}")
        if before > 0 and depth == 0 and "(" in head and number - start + 1 > FUNCTION_LINES:
            faults.append(f"{path}:{start}: function of {number - start + 1} lines")
        if depth == 0 and line.rstrip().endswith((";", "}")):
            head = ""
    return faults


def native_io(path: str, text: str) -> list[str]:
    if NATIVE_IO.match(path):
        return []
    code = c_code(text) if path.endswith((".c", ".h")) else "\n".join(map(without_comment, text.splitlines()))
    return [
        f"{path}:{number}: {match[0]})"
        for number, line in enumerate(code.splitlines(), 1)
        if not line.lstrip().startswith(("def ", "class ")) and (match := NATIVE_CALL.search(line))
    ]


def constant_time(path: str, text: str) -> list[str]:
    lines = enumerate(text.splitlines(), 1)
    return [f"{path}:{number}: memcmp on a tag" for number, line in lines if re.search(r"\bmemcmp\s*\(.*tag", line)]


def table_of_contents(path: str, text: str) -> list[str]:
    """ext/_native.pyx imports and includes, no more, and includes .pxi only: coverage maps no other included file."""
    lines = [without_comment(line) for line in re.sub(r'""".*?"""', "", text, flags=re.DOTALL).splitlines()]
    allowed = r'include "[\w/]+\.pxi"|(from [\w.]+ )?c?import [\w.*, ]+'
    return [f"{path}: {line}" for line in lines if line and not re.fullmatch(allowed, line)]


def file_size(path: str, text: str) -> list[str]:
    lines = text.splitlines()
    if len(lines) <= FILE_LINES or any(EXCUSE in line for line in lines[:20]):
        return []
    return [f"{path}: {len(lines)} lines, and its top does not say why"]


def words(path: str, text: str) -> list[str]:
    lines = list(enumerate(text.splitlines(), 1))
    faults = [f"{path}:{number}: {match[0]}" for number, line in lines if (match := WORDS.search(line))]
    return faults + [f"{path}:{number}: a private key" for number, line in lines if PRIVATE_KEY.search(line)]


def readme_commands(text: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines() if without_comment(line).strip()]


def run_by_ci(path: str, text: str) -> list[str]:
    """Each line of the README's sh blocks stands, word for word, in .ci/run."""
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    return [f"{path}: not run by .ci/run: {line}" for line in readme_commands(text) if line not in script]


PYTHON_RULES: list[Rule] = [python_functions, declared_dependencies]
PACKAGE_RULES: list[Rule] = [import_direction, io_rule, one_user_of_sqlite, lazy_media_library]
NATIVE_RULES: list[Rule] = [native_io, constant_time]


def rules_for(path: str) -> list[Rule]:
    suffix = PurePosixPath(path).suffix
    rules: list[Rule] = [words]
    if suffix in SOURCES or path == ".ci/run":
        rules.append(file_size)
    if suffix == ".py" and path != "setup.py":
        rules += PYTHON_RULES
    if path.startswith("srtpgw/") and suffix == ".py":
        rules += PACKAGE_RULES
    if path.startswith("ext/") and suffix in SOURCES:
        rules += NATIVE_RULES
    if suffix in {".pyx", ".pxi"}:
        rules += [cython_functions, cython_nogil]
    if suffix in {".c", ".h"}:
        rules.append(c_functions)
    rules += [table_of_contents] if path == "ext/_native.pyx" else []
    return rules + ([run_by_ci] if path == "README.md" else [])


def test_the_tree_keeps_the_rules() -> None:
    faults = []
    for path in tree():
        text = (ROOT / path).read_text(encoding="utf-8")
        for rule in rules_for(path):
            faults += rule(path, text)
    assert not faults, "\n" + "\n".join(faults)


def test_the_tree_is_found() -> None:
    found = set(tree())
    assert {"README.md", "ext/_native.pyx", "srtpgw/cli.py", "srtpgw/srtp.py", ".ci/run"} <= found
    assert not found & GENERATED


LONG = "\n".join(["    pass"] * FUNCTION_LINES)
LONG_C = "\n".join(["    x++;"] * FUNCTION_LINES)

BROKEN: list[tuple[Rule, str, str]] = [
    (import_direction, "srtpgw/srtp.py", "from srtpgw.media import MediaGateway"),
    (import_direction, "srtpgw/media/gateway.py", "from ..control import store"),
    (import_direction, "srtpgw/media/gateway.py", "def f():\n    import srtpgw.sip.dialog"),
    (import_direction, "srtpgw/sip/b2bua.py", "from srtpgw import ng"),
    (import_direction, "srtpgw/errors.py", "from . import srtp"),
    (import_direction, "srtpgw/strange.py", ""),
    (io_rule, "srtpgw/srtp.py", "import time"),
    (io_rule, "srtpgw/media/leg.py", "from asyncio import sleep"),
    (io_rule, "srtpgw/media/leg.py", "import os\nos.stat('/')"),
    (io_rule, "srtpgw/media/leg.py", "def f(path):\n    return path.read_text()"),
    (io_rule, "srtpgw/media/leg.py", "print(1)"),
    (io_rule, "srtpgw/control/policy.py", "import time"),
    (one_user_of_sqlite, "srtpgw/relay/daemon.py", "import sqlite3"),
    (declared_dependencies, "srtpgw/media/leg.py", "import requests"),
    (declared_dependencies, "srtpgw/media/leg.py", "import pytest"),
    (lazy_media_library, "srtpgw/demo/run.py", "import aiortc"),
    (python_functions, "tests/a.py", "def f():\n" + LONG),
    (cython_functions, "ext/a.pxi", "cdef int f(int a,\n           int b) noexcept nogil:\n" + LONG),
    (cython_nogil, "ext/a.pxi", "cdef void f(int a) nogil:\n    pass"),
    (c_functions, "ext/crypto/a.c", "static int\nf(int x)\n{\n" + LONG_C + "\n}\n"),
    (native_io, "ext/relay.pxi", "    now = clock_gettime(CLOCK_MONOTONIC, &ts)"),
    (native_io, "ext/crypto/a.c", "    return read(fd, p, n);"),
    (constant_time, "ext/srtp.pxi", "    if memcmp(tag, expected, 10) == 0:"),
    (table_of_contents, "ext/_native.pyx", 'include "relay.pyx"'),
    (table_of_contents, "ext/_native.pyx", "cdef int x"),
    (file_size, "ext/a.c", "\n" * (FILE_LINES + 1)),
    (words, "docs/a.md", "\x54ODO: more"),
    (words, "certs/a.pem", "-----BEGIN RSA PRIVATE\x20KEY-----"),
    (run_by_ci, "README.md", "```sh\nsrtpgw never-run\n```\n"),
]

SOUND: list[tuple[Rule, str, str]] = [
    (import_direction, "srtpgw/media/gateway.py", "from .leg import Leg\nfrom srtpgw.srtp import SUITES"),
    (import_direction, "srtpgw/cli.py", "from srtpgw import demo, media"),
    (io_rule, "srtpgw/cli.py", "import time, asyncio\nprint(time.time())"),
    (io_rule, "srtpgw/media/leg.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio"),
    (cython_functions, "ext/a.pxi", "cdef int f(int a) noexcept nogil:\n    pass\n" * FUNCTION_LINES),
    (cython_nogil, "ext/a.pxi", "cdef int f(int (*g)() noexcept nogil) except -1 nogil:\n    pass"),
    (c_functions, "ext/crypto/a.c", "int f(void)\n{\n}\n" * FUNCTION_LINES),
    (c_functions, "ext/crypto/a.c", "static const int table[] = {\n" + "    1,\n" * 99 + "};\n"),
    (native_io, "ext/engine/socket.c", "    return recvmmsg(fd, m, n, 0, 0);"),
    (native_io, "ext/crypto/a.c", "    kernel->open(job); /* open( */"),
    (file_size, "ext/a.c", f"/* {EXCUSE} it is one table */" + "\n" * FILE_LINES),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_a_rule_finds_what_breaks_it(rule: Rule, path: str, text: str) -> None:
    assert rule(path, text)


@pytest.mark.parametrize(("rule", "path", "text"), SOUND)
def test_a_rule_leaves_good_code_alone(rule: Rule, path: str, text: str) -> None:
    assert rule(path, text) == []
