"""A TLS proxy between two SIP phones that stays in the dialog and writes both sides' session secrets to a key log.

    python tls_middle.py NAME LISTEN_PORT FORWARD_PORT CERTIFICATE KEYLOG TLSv1_2|TLSv1_3|clear

Phones do not write key logs themselves. The messages pass as they are, but for a Record-Route in each INVITE, so that
the ACK and the BYE come this way too; NAME is what the caller knows this host by. With `clear`
TLS 1.2 ends here and TCP goes on, as at many a real proxy. Prints `ready` when it listens.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from contextlib import suppress

HOST = "192.0.2.1"
CLEAR = "clear"
MESSAGE = 65536  # octets read at once


def secured(context: ssl.SSLContext, keylog: str, version: str) -> ssl.SSLContext:
    context.keylog_filename = keylog
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


def accepting(certificate: str, keylog: str, version: str) -> ssl.SSLContext:
    context = secured(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), keylog, version)
    context.load_cert_chain(certificate)
    return context


def connecting(keylog: str, version: str) -> ssl.SSLContext:
    context = secured(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), keylog, version)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def pipe(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, route: bytes, renamed: tuple[bytes, bytes]
) -> None:
    with suppress(OSError):
        while octets := await reader.read(MESSAGE):
            if octets.startswith(b"INVITE "):
                line, _, rest = octets.partition(b"\r\n")
                octets = line + b"\r\nRecord-Route: " + route + b"\r\n" + rest
            writer.write(octets.replace(*renamed))
            await writer.drain()
    if not writer.is_closing():
        writer.close()


async def main(name: str, listen: str, forward: str, certificate: str, keylog: str, version: str) -> None:
    route = f"<sip:{name}:{listen};transport=tls;lr>".encode()

    onward = None if version == CLEAR else connecting(keylog, version)
    near, beyond = b"SIP/2.0/TLS", b"SIP/2.0/TCP" if version == CLEAR else b"SIP/2.0/TLS"  # in Via

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far = await asyncio.open_connection(HOST, int(forward), ssl=onward)
        await asyncio.gather(pipe(reader, far[1], route, (near, beyond)), pipe(far[0], writer, route, (beyond, near)))

    server = await asyncio.start_server(
        serve, "", int(listen), ssl=accepting(certificate, keylog, "TLSv1_2" if version == CLEAR else version)
    )
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
