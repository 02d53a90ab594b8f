"""``cozypkg dump``: everything that explains a platform, in one file, without its secrets."""

from __future__ import annotations

from pathlib import Path

import click

from cozystack.cozypkg.options import cluster_options
from cozystack.cozypkg.session import Session


@click.command("dump")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@cluster_options
def command(session: Session, file: Path) -> None:
    """Write what `cozypkg explain --dump FILE` needs: no data of Secrets, no values that look secret."""
    from cozystack.cozypkg.dumping import collect, write

    objects, unread = session.on_cluster(collect)
    for kind in unread:
        session.tell(f"warning: {kind}s may not be listed, and are not in it")
    number = write(file, objects, unread)
    session.tell(f"wrote {number} objects to {file}; look at it before you give it to somebody else")
