"""The database's schema, as the steps that it grew by. A step that was released is never edited: the next one follows.

Tables are STRICT and their CHECKs narrow: a second line of defence behind the commands, which give the texts. Lists are
JSON, which no CHECK looks at: SQLite trusts those functions in no schema that may come from a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

APPLICATION_ID: Final = (
    0x53525450  # "SRTP": at octet 68 of the file, so that a foreign one is known before it is opened
)

MIGRATIONS: Final[tuple[str, ...]] = (
    """
CREATE TABLE revision (
    name TEXT PRIMARY KEY,
    number INTEGER NOT NULL CHECK (number > 0)
) STRICT;

CREATE TABLE media_encryption (
    type TEXT PRIMARY KEY CHECK (type IN ('extension', 'route', 'intermgw')),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1))
) STRICT;

CREATE TABLE security_policy (
    number INTEGER NOT NULL CHECK (number IN (1, 2, 3)),
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;

CREATE TABLE realm (
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;

CREATE TABLE setting (
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 100),
    text TEXT NOT NULL CHECK (length(text) <= 65536)
) STRICT;

CREATE TABLE extension (
    number TEXT PRIMARY KEY CHECK (length(number) BETWEEN 1 AND 16 AND number NOT GLOB '*[^0-9]*'),
    csp INTEGER NOT NULL CHECK (csp >= 0),
    lim INTEGER NOT NULL CHECK (lim >= 0),
    security_exception INTEGER NOT NULL CHECK (security_exception IN (0, 1))
) STRICT;

-- No reference to extension: a code may be set before its extension.
CREATE TABLE authorization_code (
    number TEXT PRIMARY KEY CHECK (length(number) BETWEEN 1 AND 16 AND number NOT GLOB '*[^0-9]*'),
    realm TEXT NOT NULL CHECK (length(realm) BETWEEN 1 AND 255),
    md5 BLOB NOT NULL CHECK (length(md5) <= 1024),
    sha256 BLOB NOT NULL CHECK (length(sha256) <= 1024)
) STRICT;

CREATE TABLE sip_route (
    route INTEGER PRIMARY KEY CHECK (route >= 0),
    protocol TEXT NOT NULL CHECK (protocol IN ('udp', 'tcp', 'tls')),
    proxyip TEXT NOT NULL CHECK (length(proxyip) BETWEEN 1 AND 255),
    proxyport INTEGER NOT NULL CHECK (proxyport BETWEEN 1 AND 65535),
    destinations TEXT NOT NULL,
    match TEXT NOT NULL,
    peer_names TEXT NOT NULL,
    username TEXT NOT NULL,
    password BLOB NOT NULL,
    fallback INTEGER NOT NULL CHECK (fallback IN (0, 1))
) STRICT;

CREATE TABLE h323_route (
    route INTEGER PRIMARY KEY CHECK (route >= 0),
    address TEXT NOT NULL CHECK (length(address) BETWEEN 1 AND 255),
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    tls INTEGER NOT NULL CHECK (tls IN (0, 1)),
    destinations TEXT NOT NULL,
    match TEXT NOT NULL,
    peer_names TEXT NOT NULL,
    fallback INTEGER NOT NULL CHECK (fallback IN (0, 1))
) STRICT;

CREATE TABLE license (
    serial TEXT PRIMARY KEY CHECK (length(serial) BETWEEN 1 AND 255),
    document BLOB NOT NULL,
    installed REAL NOT NULL
) STRICT;

CREATE TABLE license_issuer (
    public BLOB PRIMARY KEY CHECK (length(public) = 32),
    testbed INTEGER NOT NULL CHECK (testbed IN (0, 1))
) STRICT;

CREATE TABLE certificate (
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 255),
    role TEXT NOT NULL CHECK (role IN ('server', 'authority', 'trusted')),
    chain TEXT NOT NULL,
    key BLOB NOT NULL CHECK (role <> 'trusted' OR length(key) = 0),
    testbed INTEGER NOT NULL CHECK (testbed IN (0, 1)),
    installed REAL NOT NULL
) STRICT;

-- A terminal is logged on as an extension, so it goes with it.
CREATE TABLE registration (
    binding TEXT PRIMARY KEY,
    number TEXT NOT NULL REFERENCES extension (number) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    protocol TEXT NOT NULL CHECK (protocol IN ('sip', 'h323')),
    contact TEXT NOT NULL,
    instance TEXT NOT NULL,
    call_id TEXT NOT NULL,
    terminal_type TEXT NOT NULL,
    transport TEXT NOT NULL CHECK (transport IN ('udp', 'tcp', 'tls')),
    remote TEXT NOT NULL,
    local_port INTEGER NOT NULL CHECK (local_port BETWEEN 1 AND 65535),
    encrypted INTEGER NOT NULL CHECK (encrypted IN (0, 1)),
    offered_srtp INTEGER CHECK (offered_srtp IN (0, 1)),
    authenticated INTEGER NOT NULL CHECK (authenticated IN (0, 1)),
    registered REAL NOT NULL,
    expires REAL NOT NULL,
    policy INTEGER CHECK (policy IN (1, 2, 3)),
    ending INTEGER NOT NULL CHECK (ending IN (0, 1))
) STRICT;
CREATE INDEX registration_number ON registration (number);

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    user TEXT NOT NULL,
    command TEXT NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('done', 'refused', 'failed')),
    lines TEXT NOT NULL
) STRICT;
""",
)

VERSION: Final = len(MIGRATIONS)


def migration(version: int, steps: Sequence[str] = MIGRATIONS) -> str:
    """SQL that brings a database of this version (0: an empty one) up to date, each step one transaction."""
    return "".join(
        f"BEGIN IMMEDIATE;{step}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};COMMIT;\n"
        for number, step in enumerate(steps[version:], version + 1)
    )
