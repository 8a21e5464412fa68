"""The media encryption flags of the store, for relay files that set none themselves; and where used keys are noted."""

from __future__ import annotations

from pathlib import Path

from srtpgw.config import load
from srtpgw.control.directory import DATABASE, StateDirectory
from srtpgw.control.store import Store
from srtpgw.errors import ConfigError, StoreError
from srtpgw.relay.file import Flags
from srtpgw.terms import LEG_TYPES


def stored_flags() -> Flags:
    """What the store says of each leg type; all off where there is none, and none is made. Raises ConfigError."""
    place = load().state_dir
    try:
        if not (place / DATABASE).exists():
            return Flags({}, f"all off: there is no store in {place}")
        with Store(StateDirectory(place, make=False).database, readonly=True) as store:
            found = store.read().media_encryption
    except (StoreError, OSError) as error:
        reason = str(error) if isinstance(error, StoreError) else f"{place} cannot be used: {error.strerror}"
        raise ConfigError("store", "media-encryption", f"{reason}; or set [media-encryption] in the file") from None
    return Flags({each: found.get(each, False) for each in LEG_TYPES}, f"from the store in {place}")


def register_path() -> Path:
    """The register of used keys: one per state directory, whatever file a key stands in. Raises ConfigError."""
    return load().state_dir / "used-keys"
