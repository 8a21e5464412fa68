"""From stored certificates to what the TLS library works with, replaced while connections are open.

The standard library takes a certificate and its key as files only. They are files in memory (memfd_create) that exist
for the one call, reached by /proc/self/fd: no key touches a disk, and it works for any user and in a process that is
not dumpable (hardening), since a process may always look at itself.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from srtpgw.control.certificates import SERVER, key_label
from srtpgw.control.model import Certificate, State
from srtpgw.control.vault import Vault
from srtpgw.errors import CertificateError, VaultError

# TLS 1.2: forward secrecy and authenticated encryption only. Those of TLS 1.3 are all of that kind.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ServerTls:
    """The side of the TLS ports. Whoever accepts a connection takes ``context`` for it, so that it gets the newest
    certificate; connections that are open keep the context that they began with.

    ``ask_clients``: clients are asked for a certificate, which is verified where they send one against the authorities
    that are trusted for trunks (a phone that sends one of another authority is turned away, so this is for ports of
    trunks)."""

    def __init__(self, vault: Vault, *, ask_clients: bool = False) -> None:
        self._vault = vault
        self._ask_clients = ask_clients
        self._built: tuple[Certificate | None, tuple[str, ...]] | None = None
        self._context: ssl.SSLContext | None = None
        self.fault: CertificateError | None = _no_certificate()

    @property
    def context(self) -> ssl.SSLContext:
        """For a connection that begins now. Raises CertificateError where there is no certificate to show."""
        if self._context is None:
            raise CertificateError(*(self.fault or _no_certificate()).lines)
        return self._context

    def update(self, state: State) -> bool:
        """Take over what is stored now; cheap where it is the same as before. True: new connections get it.

        False: nothing changed, or ``fault`` says why what is stored cannot be used; the context before goes on. Where
        the certificate was removed, so is the context."""
        row = state.certificates.get(SERVER)
        wanted = (row, _trusted(state) if self._ask_clients else ())
        if wanted == self._built:
            return False
        self._built = wanted
        if row is None:
            self._context, self.fault = None, _no_certificate()
            return False
        try:
            self._context = _server_context(row, self._vault, wanted[1])
        except CertificateError as error:
            self.fault = CertificateError(*error.lines)  # without the frames that handled the key
            return False
        self.fault = None
        return True


def _no_certificate() -> CertificateError:
    return CertificateError("No server certificate is installed.",
                            "certificate_install installs one; the TLS ports stay closed until then.")  # fmt: skip


def client_context(state: State, vault: Vault) -> ssl.SSLContext:
    """For TLS trunks that we open: the peer must be signed by a trusted authority (or the testbed's own) and have the
    name or address that is asked for; it gets our certificate if it asks for one. CertificateError."""
    context = _prepared(ssl.PROTOCOL_TLS_CLIENT)
    for chain in _trusted(state):
        _trust(context, chain)
    row = state.certificates.get(SERVER)
    if row is not None:
        _load(context, row, vault)
    return context


def _server_context(row: Certificate, vault: Vault, trusted: tuple[str, ...]) -> ssl.SSLContext:
    context = _prepared(ssl.PROTOCOL_TLS_SERVER)
    # A resumed session shows no certificate, so one from before a replacement would outlive it.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_SINGLE_ECDH_USE
    context.num_tickets = 0
    for chain in trusted:
        _trust(context, chain)
    if trusted:
        context.verify_mode = ssl.CERT_OPTIONAL
    _load(context, row, vault)
    return context


def _prepared(side: int) -> ssl.SSLContext:
    context = ssl.SSLContext(side)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _trusted(state: State) -> tuple[str, ...]:
    """Authorities of peers."""
    return tuple(row.chain for row in state.certificates.values() if row.role != "server")


def _trust(context: ssl.SSLContext, chain: str) -> None:
    try:
        context.load_verify_locations(cadata=chain)
    except (ssl.SSLError, ValueError):
        raise CertificateError("A stored authority is damaged.", "certificate_print shows which.") from None


def _load(context: ssl.SSLContext, row: Certificate, vault: Vault) -> None:
    """Hand the chain and its key over."""
    try:
        key = bytearray(vault.open(key_label(row.name), row.key))
    except VaultError as error:
        raise CertificateError(f"The key of the certificate {row.name} cannot be used: {error}.",
                               "Install it again with certificate_install.") from None  # fmt: skip
    try:
        with _memory_file(key) as key_path, _memory_file(bytearray(row.chain.encode())) as chain_path:
            # A password that is never right, so that a damaged key never asks for one on the terminal.
            context.load_cert_chain(chain_path, key_path, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise CertificateError(f"The certificate {row.name} and its key do not go together, or are damaged.",
                               "Install it again with certificate_install.") from None  # fmt: skip
    except OSError as error:
        raise CertificateError(f"The certificate {row.name} cannot be handed to TLS: {error.strerror}.",
                               "/proc must be mounted, and memory left.") from None  # fmt: skip


def _no_password() -> bytes:
    return b""


@contextmanager
def _memory_file(content: bytearray) -> Iterator[str]:
    """The path of a file in memory that holds this. At the end the file is gone, and both are wiped."""
    handle = -1
    try:
        handle = os.memfd_create("certificate", os.MFD_CLOEXEC)
        written = 0
        while written < len(content):
            written += os.write(handle, memoryview(content)[written:])
        yield f"/proc/self/fd/{handle}"
    finally:
        content[:] = bytes(len(content))
        if handle >= 0:
            with suppress(OSError):
                os.pwrite(handle, content, 0)
            os.close(handle)
