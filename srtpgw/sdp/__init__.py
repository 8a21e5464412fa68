"""Session descriptions (RFC 8866) kept line by line, and their crypto attributes (RFC 4568)."""
