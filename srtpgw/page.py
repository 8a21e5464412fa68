"""What our HTML files have in common: one file that loads nothing, light or dark, every text escaped, nothing run.

The policy in the head allows the style sheet by its hash and nothing else: no script, no image, no connection.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1d2126; --quiet: #5b6570; --rule: #d9dee3; --band: #f4f6f8;
  --s0: #0b62c4; --s1: #c2410c; --s2: #15803d; --s3: #7e22ce; --s4: #a16207; --s5: #0e7490; --s6: #be185d;
  --s7: #64748b; }
@media (prefers-color-scheme: dark) { :root { --ground: #14181c; --text: #e4e8ec; --quiet: #9aa5b1; --rule: #333b44;
  --band: #1b2127; --s0: #6cb0ff; --s1: #ff9d6b; --s2: #63d58a; --s3: #c99bff; --s4: #e9c46a; --s5: #5cd0e6;
  --s6: #ff8fc0; --s7: #a7b4c4; } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem; max-width: 88rem; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; font-weight: 600 }
p { max-width: 60rem; margin: .3rem 0 } .quiet { color: var(--quiet) }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(30rem, 100%), 1fr)); gap: 1rem 2rem }
figure { margin: 0 } svg { width: 100%; height: auto; display: block }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .3rem 0 }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--rule); text-align: right; white-space: nowrap }
th { font-weight: 600; background: var(--band) } td:first-child, th:first-child { text-align: left }
table.facts td { text-align: left; white-space: normal } table.facts th { text-align: left }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; padding: 0; margin: .5rem 0 }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .4rem }
text { fill: var(--text); font: 12px system-ui, sans-serif } text.title { fill: var(--quiet) }
.grid { stroke: var(--rule) } .axis { stroke: var(--quiet) } .mark { stroke: var(--text); stroke-dasharray: 4 3 }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A whole file. ``title`` is text, ``body`` HTML whose texts are escaped, ``style`` comes on top of ``STYLE``."""
    sheet = STYLE + style
    digest = b64encode(hashlib.sha256(sheet.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{sheet}</style></head>\n<body>{body}</body></html>\n"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table of texts; of ``kind`` "facts", they are to the left and may wrap."""
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    opened = f'<table class="{escape(kind)}">' if kind else "<table>"
    return f'<div class="scroll">{opened}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'
