"""``cozypkg docs``: the reference of all commands."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import cluster_options
from cozystack.cozypkg.session import Session


@click.command("docs")
@click.option("--format", "form", type=click.Choice(["markdown", "man"]), default="markdown", show_default=True)
@click.option("--to", type=click.Path(path_type=Path, file_okay=False), help="Write files to this folder (man pages need one).")
@cluster_options
def command(session: Session, form: Literal["markdown", "man"], to: Path | None) -> None:
    """Print the reference of all commands, or write it to files."""
    from cozystack.cozypkg.reference import man_pages, markdown

    if form == "man" and to is None:
        raise click.UsageError("man pages are several files: name a folder with --to")
    if to is None:
        session.stdout.write(markdown())
        return
    files = man_pages() if form == "man" else {"cozypkg.md": markdown()}
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (to / name).write_text(text)
    except OSError as error:
        raise CommandError(f"{to} cannot be written: {(error.strerror or str(error)).lower()}") from error
    session.tell(f"wrote {len(files)} files to {to}")
