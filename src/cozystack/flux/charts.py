"""An artifact as a chart folder that Helm can read, with the artifact's digest in the chart's version."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_VERSION = re.compile(rb"(?m)^version:[ \t]*(['\"]?)([^'\"\s#]+)\1[ \t]*(?:#[^\r\n]*)?(?=\r?$)")
_NAME = re.compile(rb"(?m)^name:[ \t]*['\"]?([^'\"\s#]+)")


class ChartFolderError(ValueError):
    """An artifact that holds no chart."""


@dataclass(frozen=True, slots=True)
class ChartFiles:
    """A chart: its files by path below its own folder, its name and the version under which it is released."""

    name: str
    version: str
    files: Mapping[str, bytes]

    @contextmanager
    def folder(self, below: Path) -> Iterator[Path]:
        """The chart on disk, for as long as the context lasts."""
        below.mkdir(parents=True, exist_ok=True)
        root = Path(tempfile.mkdtemp(prefix="chart-", dir=below))
        try:
            chart = root / self.name
            for path, content in self.files.items():
                file = chart / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            yield chart
        finally:
            shutil.rmtree(root, ignore_errors=True)


def chart_of(files: Mapping[str, bytes], digest: str) -> ChartFiles:
    """The topmost chart of an artifact; ``digest`` (``sha256:...``) becomes build metadata of its version, as Flux does it.

    Raises ``ChartFolderError``.
    """
    found = [path for path in files if path.rpartition("/")[2] == "Chart.yaml"]
    if not found:
        raise ChartFolderError("the artifact holds no Chart.yaml")
    path = min(found, key=lambda each: (each.count("/"), each))
    prefix = path.removesuffix("Chart.yaml")
    text = files[path]
    version, name = _VERSION.search(text), _NAME.search(text)
    if version is None or name is None:
        raise ChartFolderError(f"{path} has no {'version' if version is None else 'name'}")
    called = name[1].decode(errors="replace")
    if called in (".", "..") or "/" in called:
        raise ChartFolderError(f'{path} has the name "{called}", which is none for a folder')
    base = version[2].decode(errors="replace").partition("+")[0]
    released = f"{base}+{digest.rpartition(':')[2][:12]}"
    chart = {file.removeprefix(prefix): content for file, content in files.items() if file.startswith(prefix)}
    chart["Chart.yaml"] = text[: version.start()] + f'version: "{released}"'.encode() + text[version.end() :]
    return ChartFiles(called, released, chart)
