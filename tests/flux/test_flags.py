"""The program takes the flags of the real controllers, and refuses what makes no sense."""

from __future__ import annotations

import pytest

from cozystack.flux.main import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--controllers=source,kustomize"], '"source,kustomize" names others than source, watcher, helm'),
        (["--storage-addr=localhost"], '"localhost" has no port'),
        (["--requeue-dependency=soon"], "--requeue-dependency"),
        (["--helm=other"], "--helm"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_a_wrong_flag_ends_the_program_with_code_2(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert (caught.value.code, complaint in capsys.readouterr().err) == (2, True)


def test_flags_that_mean_nothing_here_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    taken = ["--events-addr=http://x", "--enable-leader-election", "--watch-all-namespaces=true", "--log-encoding=json"]
    with pytest.raises(SystemExit) as caught:
        main([*taken, "--help"])
    assert caught.value.code == 0
    assert "events-addr" not in capsys.readouterr().out
