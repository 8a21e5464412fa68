"""The runs that peers are compared with: no gateway at all, and one that drops everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from srtpgw.loadtest.bench import drop
from srtpgw.loadtest.bench.matrix import Case
from srtpgw.loadtest.bench.namespaces import in_namespace
from srtpgw.loadtest.bench.peers.base import Place, Started


class Cable:
    """The callers' media straight to the callees, over a veth of its own."""

    name = "cable"
    title = "cable (no gateway)"

    def missing(self, case: Case | None) -> str | None:
        del case
        return None

    def version(self) -> str:
        return ""

    def settings(self) -> Sequence[str]:
        return ()

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        del place
        yield Started((), ("--target", "cable"), {})


class Drop:
    """The gateway replaced by a drop."""

    name = "drop"
    title = "drop"

    def missing(self, case: Case | None) -> str | None:
        del case
        return None

    def version(self) -> str:
        return ""

    def settings(self) -> Sequence[str]:
        return ()

    @contextmanager
    def start(self, place: Place) -> Iterator[Started]:
        def install() -> drop.Drop:
            return drop.install(["caller", "callee"], place.ports, [place.case.family])

        installed = in_namespace(place.bed.path("gateway"), install)
        try:
            yield Started((), ("--target", "static"), {"drop": installed.method, **_refused(installed)})
        finally:
            installed.close()


def _refused(installed: drop.Drop) -> dict[str, str]:
    return {"drop_refused": "; ".join(installed.refused)} if installed.refused else {}
