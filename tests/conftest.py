"""The order of the tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole platforms first: each group of them keeps one worker busy for a minute, and the thousands of short tests fill up
    what the others have left. Last, they would run when nobody else has anything to do.
    """
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
