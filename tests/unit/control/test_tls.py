"""Certificates on open ports: a real listener, real clients, and a replacement under open connections."""

from __future__ import annotations

import asyncio
import pickle
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from support import require_peer, require_root
from unit.control.pki import Party, key_pem, leaf, make, root
from unit.control.requests import EMPTY, NOW, VAULT, applied, state

from srtpgw.control.authority import first_run
from srtpgw.control.certificate_files import encode_chain
from srtpgw.control.certificates import key_label
from srtpgw.control.model import Certificate, Put, State
from srtpgw.control.tls import ServerTls, _memory_file, client_context
from srtpgw.control.vault import Vault
from srtpgw.errors import CertificateError

SECONDS: Final = 10  # for anything here: what takes longer does not come
LONG: Final = (-3650.0, 3650.0)  # days: the TLS library reads the real clock
ROOT: Final = root(days=LONG)
MIDDLE: Final = make("Middle", ROOT, ca=True, days=LONG)
HOST: Final = "127.0.0.1"


def server(name: str = "localhost", **how: Any) -> Party:
    return leaf(MIDDLE, [name, HOST], days=LONG, **how)


def row(name: str, role: Any, *chain: Party) -> Certificate:
    key = b"" if role == "trusted" else VAULT.seal(key_label(name), key_pem(chain[0]))
    return Certificate(name, role, encode_chain(tuple(one.certificate for one in chain)), key, False, NOW)


def showing(party: Party, *more: Certificate) -> State:
    return state(row("server", "server", party, MIDDLE), *more)


TRUSTED: Final = row("corporate", "trusted", ROOT)
FIRST, SECOND = server("first.example"), server("second.example", key=rsa.generate_private_key(65537, 2048))


def taken(party: Party, *more: Certificate, **how: Any) -> ServerTls:
    tls = ServerTls(VAULT, **how)
    assert tls.update(showing(party, *more))
    assert tls.fault is None
    return tls


# --- a listener that takes the newest context for each connection


@asynccontextmanager
async def listening(tls: ServerTls) -> AsyncIterator[int]:
    """The port of a server that answers each line with itself, and a connection without TLS with its end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await writer.start_tls(tls.context)
            while line := await reader.readline():
                writer.write(line)
                await writer.drain()
        except (OSError, CertificateError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, HOST, 0)
    async with listener:
        yield listener.sockets[0].getsockname()[1]


class Client:
    """A connection, and the certificate that it was shown."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.version: str = writer.get_extra_info("ssl_object").version()

    async def echoes(self, text: bytes) -> bool:
        self.writer.write(text + b"\n")
        await self.writer.drain()
        return await self.reader.readline() == text + b"\n"

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


async def connected(port: int, context: ssl.SSLContext | None = None) -> Client:
    context = context or client_context(state(TRUSTED), VAULT)
    return Client(*await asyncio.open_connection(HOST, port, ssl=context, server_hostname=HOST))


async def answered(port: int, context: ssl.SSLContext | None = None) -> bytes:
    """The certificate shown to a client that is served too (in TLS 1.3 a server refuses after the handshake)."""
    client = await connected(port, context)
    try:
        if not await client.echoes(b"hello"):
            raise ConnectionResetError("turned away")
        return client.shown
    finally:
        client.writer.transport.abort()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, SECONDS))


# --- serving and replacing


def test_new_connections_see_the_new_certificate_and_open_ones_go_on() -> None:
    async def scenario() -> None:
        tls = taken(FIRST)
        async with listening(tls) as port:
            before = [await connected(port) for _ in range(5)]
            assert tls.update(showing(SECOND))
            after = [await connected(port) for _ in range(5)]
            assert {client.shown for client in before} == {FIRST.der}
            assert {client.shown for client in after} == {SECOND.der}
            for client in (*before, *after):
                assert await client.echoes(b"still here")
                await client.close()

    run(scenario())


def test_a_handshake_that_is_under_way_ends_with_the_certificate_it_began_with() -> None:
    tls = taken(FIRST)
    begun = tls.context
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    served = begun.wrap_bio(incoming, outgoing, server_side=True)
    tls.update(showing(SECOND))
    client_in, client_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context(state(TRUSTED), VAULT).wrap_bio(client_in, client_out, server_hostname=HOST)
    for _ in range(4):
        for side, source, target in ((client, client_out, incoming), (served, outgoing, client_in)):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
            target.write(source.read())
    assert client.getpeercert(binary_form=True) == FIRST.der


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_outlives_a_replacement(version: ssl.TLSVersion) -> None:
    async def scenario() -> None:
        tls = taken(FIRST)
        context = client_context(state(TRUSTED), VAULT)
        context.minimum_version = context.maximum_version = version
        async with listening(tls) as port:
            client = await connected(port, context)
            assert await client.echoes(b"hello")
            session = client.writer.get_extra_info("ssl_object").session
            assert session is None or not session.has_ticket
            await client.close()

    run(scenario())


def test_an_unchanged_certificate_is_not_loaded_again() -> None:
    tls = ServerTls(VAULT)
    first = showing(FIRST)
    assert tls.update(first)
    context = tls.context
    assert not tls.update(replace(first, revision=7, policy=1))
    assert not tls.update(applied(first, [Put(TRUSTED)]))
    assert tls.context is context


FAULTS: Final[dict[str, tuple[Certificate, Vault, str]]] = {
    "another key file": (row("server", "server", SECOND, MIDDLE), Vault(lambda: bytes(32)), "cannot be used"),
    "another row's key": (replace(row("server", "server", SECOND, MIDDLE), key=row("x", "server", SECOND).key), VAULT,
                          "cannot be used"),
    "another certificate's key": (replace(row("server", "server", SECOND), key=row("server", "server", FIRST).key),
                                  VAULT, "do not go together"),
    "no chain": (replace(row("server", "server", SECOND), chain=""), VAULT, "do not go together"),
    "damaged chain": (replace(row("server", "server", SECOND), chain=SECOND.pem.decode().replace("M", "N")), VAULT,
                      "do not go together"),
    "no key": (replace(row("server", "server", SECOND), key=VAULT.seal(key_label("server"), b"")), VAULT,
               "do not go together"),
    "an encrypted key": (replace(row("server", "server", SECOND),
                                 key=VAULT.seal(key_label("server"), key_pem(SECOND, b"secret"))), VAULT,
                         "do not go together"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_be_used_leaves_the_one_before(case: str) -> None:
    broken, vault, reason = FAULTS[case]
    tls = ServerTls(VAULT)
    tls.update(showing(FIRST))
    context = tls.context
    tls._vault = vault
    assert not tls.update(state(broken))
    assert tls.fault is not None
    assert reason in tls.fault.lines[0]
    assert tls.fault.__cause__ is None
    assert tls.context is context
    tls._vault = VAULT
    assert tls.update(showing(SECOND)), "the next good one is taken"
    assert tls.context is not context


def test_without_a_certificate_there_is_nothing_to_serve_with() -> None:
    tls = ServerTls(VAULT)
    for _ in range(2):
        with pytest.raises(CertificateError, match="No server certificate is installed"):
            _ = tls.context
        assert not tls.update(EMPTY)
    assert tls.update(showing(FIRST))
    assert not tls.update(EMPTY)
    with pytest.raises(CertificateError, match="No server certificate is installed"):
        _ = tls.context


def test_the_first_certificate_that_cannot_be_used_is_told() -> None:
    tls = ServerTls(Vault(lambda: bytes(32)))
    assert not tls.update(showing(FIRST))
    with pytest.raises(CertificateError, match="cannot be used"):
        _ = tls.context


def test_a_first_run_serves() -> None:
    async def scenario() -> None:
        store = applied(EMPTY, first_run(EMPTY, VAULT, time.time(), ["gateway.example"]))
        tls = ServerTls(VAULT)
        assert tls.update(store)
        async with listening(tls) as port:
            assert await answered(port, client_context(store, VAULT))
            with pytest.raises(ssl.SSLCertVerificationError):
                await answered(port, client_context(state(TRUSTED), VAULT))

    run(scenario())


# --- what is spoken


def test_versions_and_ciphers() -> None:
    context = taken(FIRST).context
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert names
    assert all(name.startswith(("ECDHE-", "TLS_")) for name in names)
    assert all("GCM" in name or "CHACHA20" in name or name == "TLS_AES_128_CCM_SHA256" for name in names)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_TICKET):
        assert context.options & option


def s_client(port: int, *arguments: str) -> str:
    command = [require_peer("openssl"), "s_client", "-connect", f"{HOST}:{port}", *arguments]
    ran = subprocess.run(command, input=b"Q\n", capture_output=True, timeout=SECONDS, check=False)
    return (ran.stdout + ran.stderr).decode(errors="replace")


@pytest.mark.peer
def test_openssl_as_the_client(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(ROOT.pem)

    async def scenario() -> None:
        async with listening(taken(FIRST)) as port:

            async def ask(*arguments: str) -> str:
                return await asyncio.to_thread(s_client, port, *arguments)

            verified = ("-CAfile", str(ca), "-verify_return_error", "-verify_hostname", "first.example")
            for version in ("-tls1_2", "-tls1_3"):
                told = await ask(version, *verified)
                assert "Verify return code: 0 (ok)" in told
                assert told.count("BEGIN CERTIFICATE") == 1
                assert " 1 s:CN = Middle" in told, "the chain is sent without its root"
                assert " 2 s:" not in told
            for refused in (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), ("-tls1_2", "-cipher", "AES128-SHA"),
                            ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA")):  # fmt: skip
                assert "Cipher is (NONE)" in await ask(*refused)
            assert "Secure Renegotiation IS supported" in await ask("-tls1_2")
            assert "Compression: NONE" in await ask("-tls1_2")

    run(scenario())


# --- clients with certificates


PEER: Final = leaf(ROOT, ["trunk.example"], days=LONG)
STRANGER: Final = make("stranger", root("Elsewhere", days=LONG), names=["trunk.example"], days=LONG)


def client_with(party: Party | None) -> ssl.SSLContext:
    rows = () if party is None else (row("server", "server", party),)
    return client_context(state(TRUSTED, *rows), VAULT)


def test_clients_are_asked_only_where_that_is_wanted() -> None:
    async def scenario() -> None:
        async with listening(taken(FIRST, TRUSTED)) as port:
            for party in (None, PEER, STRANGER):
                assert await answered(port, client_with(party)) == FIRST.der
        async with listening(taken(FIRST, TRUSTED, ask_clients=True)) as port:
            for party in (None, PEER):
                assert await answered(port, client_with(party)) == FIRST.der
            with pytest.raises(OSError, match=r"unknown ca|turned away|reset"):
                await answered(port, client_with(STRANGER))

    run(scenario())


def test_trust_that_is_withdrawn_counts_at_once() -> None:
    async def scenario() -> None:
        tls = taken(FIRST, TRUSTED, ask_clients=True)
        async with listening(tls) as port:
            assert await answered(port, client_with(PEER)) == FIRST.der
            elsewhere = row("elsewhere", "trusted", root("Elsewhere", days=LONG))
            assert tls.update(showing(FIRST, elsewhere))
            with pytest.raises(OSError, match=r"unknown ca|turned away|reset"):
                await answered(port, client_with(PEER))

    run(scenario())


def test_a_trunk_must_be_who_it_says() -> None:
    async def scenario() -> None:
        async with listening(taken(FIRST)) as port:
            assert await answered(port) == FIRST.der
            with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get"):
                await answered(port, client_context(EMPTY, VAULT))
            with pytest.raises(ssl.SSLCertVerificationError, match="ostname mismatch"):
                await asyncio.open_connection(
                    HOST, port, ssl=client_context(state(TRUSTED), VAULT), server_hostname="other.example"
                )

    run(scenario())


# --- where the key is while it is handed over


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_file_is_left_open() -> None:
    before = descriptors()
    tls = taken(FIRST)
    for party in (SECOND, FIRST) * 5:
        assert tls.update(showing(party))
    for broken, _, _ in FAULTS.values():
        tls.update(state(broken))
    assert descriptors() == before


def test_what_is_handed_over_is_wiped() -> None:
    secret = bytearray(b"secret" * 1000)
    with _memory_file(secret) as path:
        assert Path(path).read_bytes() == b"secret" * 1000
        kept = Path(path).open("rb")  # noqa: SIM115 - it outlives the block
    with kept:
        assert kept.read() == bytes(6000) == secret
    assert not Path(path).exists()


AS_ANOTHER_USER: Final = """
import os, pickle, sys
from srtpgw.control.model import Certificate, Put, State
from srtpgw.control.tls import ServerTls
from srtpgw.control.vault import Vault
from srtpgw.hardening import forbid_dumps
chain, key = pickle.load(sys.stdin.buffer)
state = State(certificates={"server": Certificate("server", "server", chain, key, False, 0.0)})
assert ServerTls(Vault(lambda: bytes(range(32)))).update(state)  # what is imported late is imported now
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
forbid_dumps()
tls = ServerTls(Vault(lambda: bytes(range(32))))
print(os.getuid(), tls.update(state), tls.fault)
"""


def test_another_user_in_a_process_that_is_not_dumpable() -> None:
    require_root()
    stored = row("server", "server", FIRST, MIDDLE)
    ran = subprocess.run(
        [sys.executable, "-P", "-c", AS_ANOTHER_USER], input=pickle.dumps((stored.chain, stored.key)),
        capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (ran.stdout, ran.stderr) == (b"65534 True None\n", b"")
