"""Texts in messages as Kubernetes quotes them (Go's ``%q``)."""

from __future__ import annotations

import json
from collections.abc import Iterable


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def quoted_list(texts: Iterable[str]) -> str:
    return "[" + " ".join(quoted(text) for text in texts) + "]"
