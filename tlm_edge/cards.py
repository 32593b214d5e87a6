"""The format of model cards: Hugging Face's, YAML front matter and Markdown sections."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def card(metadata: Mapping[str, Any], title: str, sections: Sequence[tuple[str, str]]) -> str:
    """A card: YAML front matter (``metadata``: JSON values), the title, and (heading, Markdown) sections."""
    front = "\n".join(_yaml(metadata))
    body = "\n\n".join(f"## {heading}\n\n{text}" if heading else text for heading, text in sections)
    return f"---\n{front}\n---\n\n# {title}\n\n{body}\n"


def table(rows: Mapping[str, Any]) -> str:
    """A Markdown table of two columns, name and value."""
    lines = [f"| {cell(name)} | {cell(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *lines])


def with_section(text: str, heading: str, content: str) -> str:
    """``text``, a card, with ``content`` under ``heading``: in place of what stands there, or else at the end."""
    section = f"## {heading}\n\n{content.strip()}\n"
    found = re.search(rf"^## {re.escape(heading)}\n.*?(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if found is None:
        return f"{text.rstrip()}\n\n{section}"
    after = text[found.end() :]
    return f"{text[: found.start()]}{section}" + (f"\n{after}" if after else "")


def cell(value: Any) -> str:
    """``value`` as a cell of a Markdown table."""
    if isinstance(value, float):
        value = f"{value:g}"
    elif isinstance(value, (list, tuple)):
        value = ", ".join(str(part) for part in value)
    return str(value).replace("|", "\\|").replace("\n", " ")


def _yaml(value: Mapping[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, content in value.items():
        if isinstance(content, Mapping):
            lines += [f"{indent}{key}:", *_yaml(content, indent + "  ")]
        elif isinstance(content, list) and content and isinstance(content[0], Mapping):
            lines.append(f"{indent}{key}:")
            for entry in content:
                first, *rest = _yaml(entry, indent + "  ")
                lines += [f"{indent}- {first.strip()}", *rest]
        elif isinstance(content, list):
            lines += [f"{indent}{key}:", *(f"{indent}- {_scalar(entry)}" for entry in content)]
        else:
            lines.append(f"{indent}{key}: {_scalar(content)}")
    return lines


def _scalar(value: Any) -> str:
    # Every JSON scalar is a YAML scalar; plain words stay unquoted, as people write them.
    plain = isinstance(value, str) and value.replace("-", "").isalpha() and value.lower() not in {"yes", "no", "on"}
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
