"""docs/findings.md is written from the tables that the program tells its findings by:

SRTPGW_WRITE_DOCS=1 pytest tests/unit/capture/test_findings_page.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from support import ROOT

from srtpgw.capture.findings import FINDINGS, GRAVEST_FIRST, SIGNALED
from srtpgw.capture.wording import MEANINGS

PAGE = ROOT / "docs/findings.md"
WRITE = os.environ.get("SRTPGW_WRITE_DOCS") == "1"

HEAD = """\
# Verdicts and findings

Written by `SRTPGW_WRITE_DOCS=1 pytest tests/unit/capture/test_findings_page.py` from the tables that `srtpgw verify`
takes its words from. The codes are those of `"code"` in the JSON and of `Finding.code` in Python; they stay.

## Verdicts

Of a stream, and of a capture as a whole, which has the worst of its streams. This is also the order, the worst first:
PLAINTEXT, INCONCLUSIVE, CONSISTENT WITH ENCRYPTION, AUTHENTICATED.
"""

RULES = """\
A stream is as good as its worst part:

* packets that authenticated under a key of an encrypting suite are AUTHENTICATED; under a NULL suite, or as SRTCP with
  the E bit at 0, they are PLAINTEXT
* packets that authenticated under no known key, or all where no key is known, are what the plaintext tests say
* a stretch that the tests find plain makes the stream PLAINTEXT; so does a plain payload whose packets authenticate,
  for the tag of AES-CM does not tell whether the sender encrypted
* one packet that authenticates under no known key is enough to lose AUTHENTICATED, unless `--forged PERCENT` says how
  many may be taken for forged; even then they must have authentic packets before and after them, and not look plain

What is expected to be `srtp` passes where the verdict is AUTHENTICATED or CONSISTENT WITH ENCRYPTION and the stream
has no finding of the kind `fail`. What is expected to be `rtp` passes where the stream is plain throughout and nothing
of it authenticates: a NULL cipher is neither. A stream that could not be judged, a search that was not finished, or a
selector that no stream matches leaves the answer inconclusive. Of several expectations one that fails decides, then one
that is inconclusive.
"""

FOUND = """\
## Findings

`fail` contradicts "encrypted and authentic"; `warning` is a weakness, or something that was not checked; `note`
explains. Words in italics are filled in.
"""

SIGNALING = """\
## Findings of the signaling alone

These are warnings, and come with a sentence of their own.
"""


def table(titles: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rows = [titles, ("---",) * len(titles), *lines]
    return "".join(f"|{'|'.join(row)}|\n" if row[0] == "---" else f"| {' | '.join(row)} |\n" for row in rows)


def findings_page() -> str:
    ranked = sorted(FINDINGS.items(), key=lambda item: GRAVEST_FIRST.index(item[1].severity))
    found = ((f"`{code}`", each.severity, re.sub(r"\{(\w+)\}", r"*\1*", each.text).strip()) for code, each in ranked)
    signaled = ((f"`{code}`", text) for code, text in SIGNALED.items())
    verdicts = ((verdict.value, meaning) for verdict, meaning in MEANINGS.items())
    return "\n".join([
        HEAD, table(("verdict", "meaning"), verdicts), RULES,
        FOUND, table(("code", "kind", "what is told"), found),
        SIGNALING, table(("code", "what is wrong"), signaled),
    ])  # fmt: skip


def test_the_page_matches_the_tables() -> None:
    page = findings_page()
    if WRITE:
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
