"""Archives: the same bytes for the same files, and nothing that leaves its folder or is too much."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cozystack.oci import OciError, UnsafeArchive, archive, digest_of, pack, pack_files, read_archive, unpack


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def tar(*entries: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A tar of entries as they are, each file with the same content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
        for entry in entries:
            entry.size = len(content) if entry.isreg() else 0
            target.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def test_a_digest_is_sha256_with_its_name() -> None:
    assert digest_of(b"x") == "sha256:" + hashlib.sha256(b"x").hexdigest()


def test_a_folder_comes_back_as_it_was_packed(tmp_path: Path) -> None:
    files = {"Chart.yaml": b"name: x\n", "templates/a.yaml": b"", "templates/ü b.yaml": b"\x00\xff"}

    assert read_archive(pack(write(tmp_path, files))) == files


def test_the_same_files_are_the_same_bytes_whatever_their_times_modes_and_order(tmp_path: Path) -> None:
    files = {"b": b"2", "a/c": b"3", "a.txt": b"1"}
    one = write(tmp_path / "one", files)
    two = write(tmp_path / "two", dict(reversed(files.items())))
    os.utime(two / "b", (1, 1))
    (two / "b").chmod(0o600)

    assert pack(one) == pack(two) == pack_files(files.items())


def test_an_archive_tells_no_time_and_no_owner(tmp_path: Path) -> None:
    packed = pack(write(tmp_path, {"a": b"1", "deep/b": b"2"}))

    with tarfile.open(fileobj=io.BytesIO(packed)) as found:
        told = [(e.name, e.mode, e.mtime, e.uid, e.gid, e.uname, e.gname) for e in found]
    assert told == [("a", 0o644, 0, 0, 0, "", ""), ("deep/b", 0o644, 0, 0, 0, "", "")]
    assert packed[4:8] == b"\0\0\0\0"


def test_what_git_and_tools_keep_is_left_out_wherever_it_is(tmp_path: Path) -> None:
    names = (".git/config", "sub/.git/config", ".gitignore", "sub/__pycache__/a.pyc", "sub/.DS_Store", ".sourceignore")
    write(tmp_path, {**dict.fromkeys(names, b""), "sub/kept.git": b"", ".helmignore": b""})

    assert sorted(read_archive(pack(tmp_path))) == [".helmignore", "sub/kept.git"]


def test_names_to_leave_out_can_be_given(tmp_path: Path) -> None:
    write(tmp_path, {"tests/a": b"", "sub/tests": b"", ".git/config": b"", "kept": b""})

    assert sorted(read_archive(pack(tmp_path, exclude=["tests"]))) == [".git/config", "kept"]


def test_a_folder_below_one_that_is_named_like_an_excluded_one_is_packed(tmp_path: Path) -> None:
    folder = write(tmp_path / ".git" / "chart", {"a": b"1"})

    assert read_archive(pack(folder)) == {"a": b"1"}


def test_links_are_followed_only_to_files_of_the_folder(tmp_path: Path) -> None:
    write(tmp_path, {"chart/values.yaml": b"v", "chart/sub/x": b"x", "secret": b"s", "elsewhere/y": b"y"})
    chart = tmp_path / "chart"
    (chart / "inside.yaml").symlink_to("values.yaml")
    (chart / "outside").symlink_to("../secret")
    (chart / "folder").symlink_to("../elsewhere")
    (chart / "dangling").symlink_to("nowhere")

    assert read_archive(pack(chart)) == {"inside.yaml": b"v", "sub/x": b"x", "values.yaml": b"v"}


def test_an_empty_folder_is_an_empty_archive(tmp_path: Path) -> None:
    assert read_archive(pack(tmp_path)) == {}


@pytest.mark.parametrize("name", ["missing", "file"])
def test_only_a_folder_can_be_packed(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"file": b""})

    with pytest.raises(OciError, match=f"{name} is not a folder"):
        pack(tmp_path / name)


def test_a_plain_tar_is_read_too_and_its_folders_are_not_files() -> None:
    plain = tar(entry("folder", tarfile.DIRTYPE), entry("./folder/a"), content=b"1")

    assert read_archive(plain) == {"folder/a": b"1"}
    assert read_archive(gzip.compress(plain)) == {"folder/a": b"1"}


def test_of_two_entries_with_one_name_the_last_counts() -> None:
    assert read_archive(gzip.decompress(pack_files([("a", b"1"), ("a", b"2")]))) == {"a": b"2"}


@pytest.mark.parametrize("name", ["../a", "a/../../b", "/etc/passwd", "..", ".", "a\0b"])
def test_an_entry_outside_the_archive_is_refused(name: str) -> None:
    outside = entry("")
    outside.pax_headers = {"path": name}

    with pytest.raises(UnsafeArchive, match="lies outside the archive"):
        read_archive(tar(outside))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_links_and_devices_are_refused(kind: bytes) -> None:
    with pytest.raises(UnsafeArchive, match=r"^a is neither a file nor a folder$"):
        read_archive(tar(entry("a", kind, link="/etc/passwd")))


def test_more_bytes_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 3)

    assert read_archive(pack_files([("a", b"1"), ("b", b"22")])) == {"a": b"1", "b": b"22"}
    with pytest.raises(UnsafeArchive, match="holds more than 3 bytes"):
        read_archive(pack_files([("a", b"11"), ("b", b"22")]))


def test_more_entries_than_allowed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_ENTRIES", 2)

    assert len(read_archive(pack_files([("a", b""), ("b", b"")]))) == 2
    with pytest.raises(UnsafeArchive, match="has more than 2 entries"):
        read_archive(pack_files([("a", b""), ("b", b""), ("c", b"")]))


def test_a_header_that_unpacks_to_more_than_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_BYTES", 1000)
    monkeypatch.setattr(archive, "MOST_ENTRIES", 2)
    bomb = entry("a")
    bomb.pax_headers = {"comment": "x" * 1_000_000}

    with pytest.raises(UnsafeArchive, match="unpacks to more than 5096 bytes"):
        read_archive(gzip.compress(tar(bomb)))


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_negative_size_is_refused_instead_of_read_for_ever(kind: bytes) -> None:
    backwards = entry("a", kind)
    backwards.size = -512

    with pytest.raises(UnsafeArchive, match=r"^a/? has a negative size$"):
        read_archive(backwards.tobuf(tarfile.GNU_FORMAT) + bytes(1024))


def test_a_negative_size_in_an_extended_header_is_refused() -> None:
    backwards = entry("a")
    backwards.pax_headers = {"size": "-512"}

    with pytest.raises(UnsafeArchive, match=r"^a has a negative size$"):
        read_archive(backwards.tobuf(tarfile.PAX_FORMAT) + bytes(1024))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all",
        b"\x1f\x8b" + b"\0" * 30,
        gzip.compress(b"no tar in it"),
        pack_files([("a", b"1" * 5000)])[:-20],
        gzip.decompress(pack_files([("a", b"1" * 5000)]))[:2000],
        bz2.compress(tar(entry("a"))),
        lzma.compress(tar(entry("a"))),
        lzma.compress(os.urandom(100_000))[:5000],
    ],
    ids=["nothing", "text", "broken gzip", "gzip of text", "cut gzip", "cut tar", "bzip2", "xz", "cut xz"],
)
def test_what_is_no_tar_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(UnsafeArchive, match=r"^not a tar archive"):
        read_archive(data)


def test_unpacking_writes_the_files_below_the_folder(tmp_path: Path) -> None:
    unpack(pack_files([("a", b"1"), ("deep/er/b", b"2")]), tmp_path / "new")

    assert read_archive(pack(tmp_path)) == {"new/a": b"1", "new/deep/er/b": b"2"}


@pytest.mark.parametrize(
    "files",
    [[("a", b""), ("b/../../c", b"")], [("a", b""), ("a/b", b"")], [("x/y", b""), ("x/y/z/w", b"")]],
    ids=["outside", "file below a file", "file far below a file"],
)
def test_nothing_is_unpacked_of_an_archive_that_is_refused(tmp_path: Path, files: list[tuple[str, bytes]]) -> None:
    with pytest.raises(UnsafeArchive):
        unpack(pack_files(files), tmp_path / "new")

    assert list(tmp_path.iterdir()) == []


_PART = st.text(st.sampled_from("aZ0._- :\\\n\x7fü漢\U0001f4e6"), min_size=1, max_size=150).filter(
    lambda part: part not in (".", "..")
)
FILES = st.dictionaries(st.lists(_PART, min_size=1, max_size=4).map("/".join), st.binary(max_size=2000), max_size=6)


@settings(deadline=None, derandomize=True, database=None)
@given(FILES)
def test_whatever_is_packed_is_read_again(files: dict[str, bytes]) -> None:
    packed = pack_files(files.items())

    assert read_archive(packed) == files
    assert pack_files(reversed(files.items())) == packed
    assert pack_files(read_archive(packed).items()) == packed


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.data(), FILES, st.booleans())
def test_a_damaged_archive_is_read_or_refused_and_never_anything_else(
    data: st.DataObject, files: dict[str, bytes], zipped: bool
) -> None:
    packed = pack_files(files.items())
    content = bytearray(packed if zipped else gzip.decompress(packed))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))

    try:
        found = read_archive(bytes(content[:cut]))
    except UnsafeArchive:
        return
    assert all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in found)
