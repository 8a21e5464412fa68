"""The child process of `GatewayTarget`: legs as one JSON line on stdin, counters as one on stdout at the end.

Keys come through the pipe and go nowhere else.
"""

from __future__ import annotations

import base64
import json
import select
import signal
import sys
from typing import Any

from srtpgw import hardening
from srtpgw.errors import SrtpgwError
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.srtp import MasterKey

LOOK_SECONDS = 1.0  # how often the parent is looked for


def main() -> None:
    """Relay until SIGINT, or until the parent is gone."""
    hardening.forbid_dumps()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    order = json.loads(sys.stdin.readline())
    hardening.need_descriptors(2 * len(order["sessions"]))
    hardening.want_locked_memory(2 * len(order["sessions"]))
    try:
        with MediaGateway(
            workers=order["workers"],
            cpus=order["cpus"],
            crypto=order["crypto"],
            media_encryption=order["media_encryption"],
        ) as gateway:
            for legs in order.pop("sessions"):
                a, b = (gateway.open_leg(_settings(leg)) for leg in legs)
                gateway.join(a, b)
            _say({"type": "started"})
            _wait()
            _say({"type": "summary", **gateway.statistics().to_json()})
    except SrtpgwError as error:
        _say({"type": "started", "fault": str(error)})


def _wait() -> None:
    parent = select.poll()
    parent.register(sys.stdin, 0)  # a hangup is told in any case
    while signal.sigtimedwait({signal.SIGINT, signal.SIGTERM}, LOOK_SECONDS) is None and not parent.poll(0):
        pass


def _settings(leg: dict[str, Any]) -> LegSettings:
    keys = [base64.b64decode(key) for key in leg["keys"]]
    return LegSettings(
        type=leg["type"],
        local=Address.parse(leg["local"]),
        remote=Address.parse(leg["remote"]),
        suite=leg["suite"],
        receive_keys=(MasterKey(keys[0]),) if leg["suite"] else (),
        transmit_keys=(MasterKey(keys[1]),) if leg["suite"] else (),
    )


def _say(document: dict[str, Any]) -> None:
    print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
