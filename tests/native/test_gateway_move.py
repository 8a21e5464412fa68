"""A join serves both legs from one worker. Where the second leg cannot be taken over, everything stays as it was."""

from __future__ import annotations

import pytest

from srtpgw.errors import LimitReached
from srtpgw.media import Address, LegSettings, MediaGateway
from srtpgw.media.endpoint import endpoint_of

RTP = bytes.fromhex("800000010000000000000001") + b"media"
NEAR, FAR = Address("192.0.2.1", 4000), Address("192.0.2.2", 4002)


def test_a_leg_that_cannot_move_stays_where_it_is() -> None:
    with MediaGateway(engine="memory", workers=2, threaded=False) as gateway:
        near = gateway.open_leg(LegSettings(type="route", remote=NEAR))
        far = gateway.open_leg(LegSettings(type="route", remote=FAR))
        first, second = near.native.worker, far.native.worker
        assert first is not second
        handle, _ = first.bind(endpoint_of(Address("127.0.0.1", 0)), 0)
        first.attach(2 * far.id + 1, handle)  # the number of the second leg's RTCP port is taken there

        with pytest.raises(LimitReached, match="another worker"):
            gateway.join(near, far)
        assert (near.session, far.session, far.native.worker) == (None, None, second)
        assert second.inject(2 * far.id, endpoint_of(FAR), RTP)
        assert second.step() == 1

        gateway.join(near, far)
        assert first.inject(2 * far.id, endpoint_of(FAR), RTP)
        assert first.step() == 1
        sent = first.collect()
        assert sent is not None
        assert sent[1:] == (endpoint_of(NEAR), RTP)
        first.release(handle)
