"""What an operator reads beside a result: where a code went that was there, and what ended with an extension."""

from __future__ import annotations

from unit.control.requests import EMPTY, NOW, REALM, VAULT, extension, perform, request, state

from srtpgw.control.digest import seal_code
from srtpgw.control.model import Realm, Registration, Row


def test_codes_of_another_realm_are_told_apart_from_none() -> None:
    held = state(
        Realm(REALM),
        *(extension(number) for number in ("100", "101", "102")),
        seal_code(VAULT, "100", REALM, "24680"),
        seal_code(VAULT, "101", "elsewhere", "24680"),
    )
    printed = perform(request(held), "auth_code", "print")
    assert [line.split() for line in printed.lines[1:]] == [
        ["100", "yes", "yes"],
        ["101", "no", "yes"],
        ["102", "no", "yes"],
    ]
    assert printed.warnings == (f"101: set under another realm than {REALM}, so auth_code -i sets it anew",)
    assert perform(request(held, d="100"), "auth_code", "print").warnings == ()


def test_what_ended_with_an_extension_is_told_and_nothing_that_did_not() -> None:
    code = seal_code(VAULT, "100", REALM, "24680")
    live = Registration("b", "100", "sip", "sip:100@192.0.2.1", "", "c", "Phone", "tls", "192.0.2.1:5061", 5061, True,
                        None, True, NOW - 60, NOW + 60, None)  # fmt: skip
    rows: tuple[Row, ...]
    for rows, beside in (
        ((), ""),
        ((Realm(REALM), code), " with 1 authorization code"),
        ((live,), " with 1 registration"),
        ((Realm(REALM), code, live), " with 1 authorization code and 1 registration"),
    ):
        held = state(extension("100"), *rows)
        assert perform(request(held, d="100"), "extension", "end").lines == (f"1 extension ended{beside}: 100",)
    assert perform(request(EMPTY, d="100"), "extension", "end").refused
