"""Captures: which streams they hold, whether these are encrypted, and what they say once decrypted.

``verify`` reads a capture of anybody's and reports on every stream; ``decrypt`` writes its plain twin.
"""
