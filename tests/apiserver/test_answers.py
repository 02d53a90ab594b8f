"""What the server answers is what a real one has answered: types, defaults, refusals, request by request."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from support.answers import Case, answered, cases, recorded, topics
from support.apiserver import Api
from support.secured import secured

ALL = [(topic, case) for topic in topics() for case in cases(topic)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> Any:
    async with secured() as api:
        yield api


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("topic", "case"), ALL, ids=[f"{topic}: {case.about}" for topic, case in ALL])
async def test_a_request_is_answered_as_a_real_server_answers_it(server: Api, topic: str, case: Case) -> None:
    expected = recorded(topic)[case.about]
    assert await answered(server, case, expected) == expected


def test_every_answer_is_one_to_a_request() -> None:
    for topic in topics():
        abouts = [case.about for case in cases(topic)]
        assert sorted(recorded(topic)) == sorted(set(abouts))
        assert len(abouts) == len(set(abouts))
