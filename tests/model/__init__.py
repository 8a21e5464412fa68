"""A plain-Python SRTP context, written from RFC 3711, 6188 and 7714 on `cryptography`.

It shares no code with srtpgw and is made to be read beside the RFCs, not to be fast. Tests compare the
engine with it. `suites`, `keys` and `transform` have no state; `sender` and `receiver` hold what a
cryptographic context holds (RFC 3711 3.2); `oracle` calls libsrtp, `packet` makes packets.
"""
