"""Process settings: what ``srtpgw run`` and every operator command start with, and where each setting came from.

    command line  >  environment (SRTPGW_...)  >  srtpgw.toml  >  default

``SETTINGS`` is the one table of them. The ``[gateway]`` table of a relay file takes its entries from here too, so a
value is checked by one rule wherever it stands. Operator commands read this at each start: nothing here imports the
media plane. docs/running.md tells of the file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from srtpgw.address import Address
from srtpgw.errors import ConfigError
from srtpgw.hosts import parse_host, parse_host_name
from srtpgw.terms import PACING_MAX_US, PACING_US, PORT_RANGE, PROVIDERS, WORKERS_MAX, Provider
from srtpgw.values import Read, address, bounded, host, number, one_of, port_range, quoted, texts, wholes

FILE_NAME: Final = "srtpgw.toml"
SYSTEM_FILE: Final = Path("/etc/srtpgw") / FILE_NAME
FILE_MAX: Final = 1 << 20  # octets
CPUS_MAX: Final = 4096
NAMES_MAX: Final = 32  # of a certificate
DRAIN_MAX: Final = 86_400  # seconds
PREFIX: Final = "SRTPGW_"
FILE_VARIABLE: Final = "SRTPGW_CONFIG"
COMMAND_LINE: Final = "command line"
DEFAULT: Final = "default"  # the source of what nobody chose


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """What a media gateway cannot change while it runs."""

    workers: int | None = None
    cpus: tuple[int, ...] = ()
    engine: Literal["socket"] = "socket"
    crypto: Provider = "native"
    pacing_us: int = PACING_US
    port_range: tuple[int, int] = PORT_RANGE
    bind_ipv4: str = "127.0.0.1"
    bind_ipv6: str = "::1"
    advertised_ipv4: str | None = None
    advertised_ipv6: str | None = None
    metrics: Address | None = None

    def fault(self) -> str:
        """Why its settings do not go together, read on from "cpus"; empty when they do."""
        if self.cpus and self.workers not in (None, len(self.cpus)):
            return f"names {len(self.cpus)} cores for {self.workers} workers"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessConfig:
    """Everything that a process starts with. ``sources`` says of each setting where it came from."""

    state_dir: Path
    realm: str = "srtpgw"
    certificate_names: tuple[str, ...] = ()
    drain_seconds: float = 30.0
    gateway: GatewayConfig = GatewayConfig()
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def value(self, name: str) -> Any:
        """The setting of this name."""
        owner = self.gateway if name in GATEWAY_KEYS else self
        return getattr(owner, _field(name))

    @property
    def at_default_place(self) -> bool:
        """Whether nobody chose the state directory."""
        return self.sources.get("state-dir", DEFAULT) == DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One setting. ``read`` takes what TOML gives for it, ``typed`` makes the same of a text (environment and command
    line). Both raise ValueError with a reason that reads on from the name."""

    name: str
    read: Read
    help: str
    metavar: str = "TEXT"
    typed: Callable[[str], object] = str
    gateway: bool = False  # in the [gateway] table of a relay file too

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + _field(self.name).upper()

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return f"--{self.name}"

    @property
    def default(self) -> Any:
        """What holds when nobody says anything; the state directory's depends on the user."""
        owner: type = GatewayConfig if self.gateway else ProcessConfig
        return next(each.default for each in fields(owner) if each.name == _field(self.name))


def _whole_text(text: str) -> object:
    try:
        return int(text) if len(text) <= 20 else text
    except ValueError:
        return text  # the reader says what is wrong with it


def _number_text(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        raise ValueError("is not a number") from None


def _list_text(text: str) -> object:
    return [each.strip() for each in text.split(",")] if text.strip() else []


def _wholes_text(text: str) -> object:
    return [_whole_text(each.strip()) for each in text.split(",")] if text.strip() else []


def _range_text(text: str) -> object:
    return [_whole_text(each.strip()) for each in text.split("-")]


def _path_text(text: str) -> object:
    return str(Path(text).absolute())


def _directory(value: object) -> Path:
    text = quoted(value)
    if not text.startswith("/") or "\0" in text:
        raise ValueError("is not an absolute path")
    return Path(text)


def _realm(value: object) -> str:
    text = quoted(value)
    from srtpgw.control.digest import check_realm

    check_realm(text)
    return text


def _host_name(value: object) -> str:
    text = quoted(value)
    try:
        return parse_host(text)
    except ValueError:
        return parse_host_name(text)


def _seconds(value: object) -> float:
    got = number(value)
    if not 0 <= got <= DRAIN_MAX:
        raise ValueError(f"is outside 0 to {DRAIN_MAX}")
    return got


SETTINGS: Final[tuple[Entry, ...]] = (
    Entry(name="state-dir", read=_directory, typed=_path_text, metavar="DIR",
          help="Folder of the settings store, its key file and the status socket."),
    Entry(name="realm", read=_realm,
          help="Realm of digest authentication; authorization codes hold under the one they were set with."),
    Entry(name="certificate-names", read=texts(NAMES_MAX, _host_name), typed=_list_text, metavar="NAME,...",
          help="Names and addresses for the testbed certificate of the first run, beside localhost."),
    Entry(name="drain-seconds", read=_seconds, typed=_number_text, metavar="SECONDS",
          help="How long a stop waits for sessions in progress."),
    Entry(name="workers", read=bounded(1, WORKERS_MAX), typed=_whole_text, metavar="COUNT", gateway=True,
          help="Packet loops; one per core where nothing is said."),
    Entry(name="cpus", read=wholes(WORKERS_MAX, 0, CPUS_MAX), typed=_wholes_text, metavar="CORE,...", gateway=True,
          help="Cores to pin them to, one for each."),
    Entry(name="engine", read=one_of(("socket",)), metavar="socket", gateway=True,
          help="How packets come and go."),
    Entry(name="crypto", read=one_of(PROVIDERS), metavar="|".join(PROVIDERS), gateway=True,
          help="SRTP implementation."),
    Entry(name="pacing-us", read=bounded(0, PACING_MAX_US), typed=_whole_text, metavar="MICROSECONDS", gateway=True,
          help="Rest of a worker between batches that come close to each other; 0: none."),
    Entry(name="port-range", read=port_range, typed=_range_text, metavar="LOW-HIGH", gateway=True,
          help="Ports of legs, RTP on even ones with RTCP above."),
    Entry(name="bind-ipv4", read=host(4), metavar="ADDRESS", gateway=True,
          help="Where legs receive by IPv4."),
    Entry(name="bind-ipv6", read=host(6), metavar="ADDRESS", gateway=True,
          help="Where legs receive by IPv6."),
    Entry(name="advertised-ipv4", read=host(4), metavar="ADDRESS", gateway=True,
          help="What far ends are told instead of --bind-ipv4."),
    Entry(name="advertised-ipv6", read=host(6), metavar="ADDRESS", gateway=True,
          help="What far ends are told instead of --bind-ipv6."),
    Entry(name="metrics", read=address, metavar="ADDR:PORT", gateway=True,
          help="Serve Prometheus metrics here."),
)  # fmt: skip
BY_NAME: Final[Mapping[str, Entry]] = MappingProxyType({entry.name: entry for entry in SETTINGS})
GATEWAY_KEYS: Final[Mapping[str, Read]] = MappingProxyType({each.name: each.read for each in SETTINGS if each.gateway})


def load(
    options: Mapping[str, str | None] = MappingProxyType({}),
    *,
    file: str | Path | None = None,
    environ: Mapping[str, str] | None = None,
    user: int | None = None,
) -> ProcessConfig:
    """The effective settings. ``options`` are those of the command line by name, as typed, None where not given;
    ``file`` is that of ``--config``; ``environ`` and ``user`` are those of the process unless given.

    Raises ConfigError, whose ``faults`` are all that was found, in every source.
    """
    environ = os.environ if environ is None else environ
    user = os.geteuid() if user is None else user
    faults: list[ConfigError] = []
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    path = _file(file, environ, user)
    if path is not None:
        found, more = _read_file(*path)
        values |= found
        faults += more
        sources |= dict.fromkeys(found, f"file {path[0]}")
    variables = {entry.name: environ.get(entry.variable) or None for entry in SETTINGS}
    for given, source in ((variables, "environment"), (options, COMMAND_LINE)):
        for name, text in given.items():
            if text is None:
                continue
            entry = BY_NAME[name]
            label = entry.variable if source == "environment" else entry.option
            try:
                values[name] = entry.read(entry.typed(text))
                sources[name] = f"environment {label}" if source == "environment" else source
            except ValueError as error:
                faults.append(ConfigError(source, label, str(error)))
    return _complete(values, sources, faults, environ, user)


def source_file(
    file: str | Path | None = None, environ: Mapping[str, str] | None = None, user: int | None = None
) -> Path | None:
    """The file that ``load`` reads with the same arguments, if there is one."""
    path = _file(file, os.environ if environ is None else environ, os.geteuid() if user is None else user)
    return path[0] if path is not None and path[0].exists() else None


def strange_variables(environ: Mapping[str, str]) -> list[str]:
    """Variables that look like a setting written wrongly, each with what was meant. Others that begin alike are left
    alone: container platforms set such (SRTPGW_SERVICE_HOST)."""
    from srtpgw.document import meant

    known = [entry.variable for entry in SETTINGS] + [FILE_VARIABLE]
    strange = [name for name in environ if name.startswith(PREFIX) and name not in known]
    return [f"{name} is not known{hint}" for name in sorted(strange) if (hint := meant(name, known, closeness=0.85))]


def shown(value: Any) -> Any:
    """A setting as plain values, as JSON and people may have it."""
    if isinstance(value, Address | Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _file(file: str | Path | None, environ: Mapping[str, str], user: int) -> tuple[Path, bool] | None:
    """The file, and whether it must be there."""
    chosen = file or environ.get(FILE_VARIABLE)
    if chosen:
        return Path(chosen), True
    if user == 0:
        return SYSTEM_FILE, False
    base = environ.get("XDG_CONFIG_HOME", "")
    home = environ.get("HOME", "")
    if base.startswith("/"):  # others are to be ignored (XDG Base Directory Specification)
        return Path(base) / "srtpgw" / FILE_NAME, False
    return (Path(home) / ".config" / "srtpgw" / FILE_NAME, False) if home.startswith("/") else None


def _read_file(path: Path, required: bool) -> tuple[dict[str, Any], list[ConfigError]]:
    """Settings by name, and faults."""
    if not required and not os.path.lexists(path):
        return {}, []
    from srtpgw.document import Document

    document = Document(str(path))
    try:
        octets, mode, foreign = document.contents(FILE_MAX)
        if mode & stat.S_IWOTH or foreign:
            document.fault("", "may be changed by others than root and its user: chown, chmod o-w")
        read, _ = document.values(document.parse(octets), "", {entry.name: entry.read for entry in SETTINGS})
    except ConfigError as error:
        return {}, list(error.faults)
    return {entry.name: read[_field(entry.name)] for entry in SETTINGS if _field(entry.name) in read}, document.faults


def _complete(
    values: dict[str, Any], sources: dict[str, str], faults: list[ConfigError], environ: Mapping[str, str], user: int
) -> ProcessConfig:
    own = {_field(name): value for name, value in values.items() if name not in GATEWAY_KEYS}
    gateway = GatewayConfig(**{_field(name): value for name, value in values.items() if name in GATEWAY_KEYS})
    if reason := gateway.fault():
        faults.append(ConfigError(sources["cpus"], "cpus", reason))
    if "state_dir" not in own and not faults:
        own["state_dir"] = _default_directory(environ, user, faults)
    if faults:
        raise ConfigError.of(faults)
    every = {entry.name: sources.get(entry.name, DEFAULT) for entry in SETTINGS}
    return ProcessConfig(**own, gateway=gateway, sources=MappingProxyType(every))


def _default_directory(environ: Mapping[str, str], user: int, faults: list[ConfigError]) -> Path | None:
    from srtpgw.control.directory import default_directory
    from srtpgw.errors import StoreError

    try:
        return default_directory(environ, user)
    except StoreError as error:
        faults.append(ConfigError(DEFAULT, "state-dir", str(error)))
        return None


def _field(name: str) -> str:
    return name.replace("-", "_")
