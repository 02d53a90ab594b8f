from __future__ import annotations

import json

from support.acme import PLATFORM
from support.cozypkg import call


def test_packages_are_found_by_what_is_in_them() -> None:
    assert call("search", "OPERATOR", "-f", "-", stdin=PLATFORM).both == (
        "NAME      VARIANTS     INSTALLED   FOUND IN\nacme.db   default,ha   default     component operator\nexit code 0\n"
    )
    assert call("search", "flannel", "acme-net", "-f", "-", stdin=PLATFORM).out == (
        "NAME       VARIANTS       INSTALLED   FOUND IN\n"
        "acme.net   none,flannel   no          variant flannel, namespace acme-net\n"
    )


def test_every_word_must_be_found() -> None:
    assert call("search", "operator", "flannel", "-f", "-", "-o", "name", stdin=PLATFORM).both == "exit code 0\n"
    assert call("search", "acme", "system", "-f", "-", "-o", "name", stdin=PLATFORM).out == "acme.db\nacme.net\n"


def test_json_says_where_it_was_found() -> None:
    assert json.loads(call("search", "tools", "-f", "-", "-o", "json", stdin=PLATFORM).out) == [
        {"name": "acme.db", "variants": ["default", "ha"], "installed": "default", "foundIn": ["chart tools/tool"]}
    ]


def test_without_a_word_it_is_wrong_usage() -> None:
    assert call("search").code == 64
