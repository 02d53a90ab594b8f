"""Files that are written: whole, private, and never in the place of something that is no file."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.files import write_private


def test_a_file_is_replaced_whole_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("something older")
    file.chmod(0o644)
    write_private(file, b"new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_a_link_stays_and_leads_to_what_was_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "plan.json"
    link.symlink_to("there/plan.json")
    write_private(link, b"new")
    assert (link.is_symlink(), (tmp_path / "there" / "plan.json").read_text()) == (True, "new")


def test_devices_and_pipes_are_written_to_and_not_replaced(tmp_path: Path) -> None:
    """Who is root could replace ``/dev/stdout`` for everybody."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_private(pipe, b"through")
    reader.join(20)
    assert (read, pipe.is_fifo()) == ([b"through"], True)
    write_private(Path("/dev/null"), b"nowhere")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/dev/full", "no space left on device"),
        ("folder", "is a directory"),
        ("loop", "too many levels of symbolic links"),
        ("gone/plan.json", "no such file or directory"),
        ("file/plan.json", "not a directory"),
        ("n" * 300, "file name too long"),
    ],
)
def test_what_cannot_be_written_is_one_sentence_and_leaves_nothing(place: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    before = sorted(tmp_path.rglob("*"))
    path = tmp_path / place
    with pytest.raises(CommandError) as error:
        write_private(path, b"content")
    assert str(error.value) == f"{path} cannot be written: {reason}"
    assert sorted(tmp_path.rglob("*")) == before
    assert Path("/dev/full").is_char_device()


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "plan.json"
    file.write_text("older")

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CommandError, match="no space left on device"):
        write_private(file, b"new")
    assert (file.read_text(), list(tmp_path.iterdir())) == ("older", [file])
