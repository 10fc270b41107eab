"""One file out of the page's parts and its data, in which nothing that comes from elsewhere can become code.

Data stand in a script block of type application/json with every `<`, `>` and `&` escaped, so that no text in them can end the block, and
the script writes them as text only. On top of that the page carries a policy by which a browser runs no script and takes no style but
these, known by their hashes, shows no picture but those inside, and asks nobody for anything.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import Any

SCRIPTS = ("base.js", "plots.js", "table.js", "page.js")  # in this order
MARK = re.compile(r"\{\{(\w+)\}\}")


def page(content: dict[str, Any], contrast: bool) -> str:
    """The whole page as text; `contrast`: it opens in black, white and one accent."""
    style = part("page.css")
    script = "\n".join(['(() => {\n"use strict";', *(part(name) for name in SCRIPTS), "})();\n"])
    fields = {
        "title": html.escape(content["title"]).encode("ascii", "xmlcharrefreplace").decode(),
        "style": style, "script": script, "data": embedded(content),
        "contrast": "on" if contrast else "auto",
        "policy": "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
                  f"style-src {fingerprint(style)}; script-src {fingerprint(script)}",
    }  # fmt: skip
    # One pass, so that a mark inside the data stays what it is.
    return MARK.sub(lambda mark: fields[mark[1]], part("page.html"))


def part(name: str) -> str:
    """A file of the page."""
    return files("icsap_jax.report.page").joinpath(name).read_text(encoding="utf-8")


def embedded(content: Any) -> str:
    """JSON that can stand inside a script block: it holds no character that HTML gives a meaning to."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def fingerprint(text: str) -> str:
    """How a policy names an inline style or script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
