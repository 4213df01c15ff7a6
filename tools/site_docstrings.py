"""An extension of griffe: this project's docstrings as Markdown, so that the site shows their lists and examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe


class ProjectDocstrings(griffe.Extension):
    """Turns every docstring into Markdown before it is shown."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """Headings of sections in bold, their `name: meaning` lines as a list, examples as code, roles as names."""
    text = re.sub(r":(?:class|func|meth|mod|data):`~?([^`]+)`", lambda found: f"`{found[1].split('.')[-1]}`", text)
    return "\n".join(_converted(re.sub(r"::$", ":", text, flags=re.MULTILINE).splitlines()))


def _converted(lines: list[str]) -> Iterator[str]:
    within = ""  # "list" below the heading of a section, "code" in an example
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if within == "code" and not line.strip():
            within = ""
            yield "```"
        if re.fullmatch(r"-{4,}", line.strip()):
            within = "list"
            yield ""
        elif line.strip() and re.fullmatch(r"-{4,}", following.strip()):
            yield f"**{line.strip()}**"
        elif line.startswith(">>>") and within != "code":
            within = "code"
            yield f"```python\n{line}"
        elif within == "list" and (item := re.match(r"([\w, *]+): (.*)", line)):
            yield f"- `{item[1]}`: {item[2]}"
        else:
            within = "" if within == "list" and not line.strip() else within
            yield line
    if within == "code":
        yield "```"
