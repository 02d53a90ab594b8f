"""``cozypkg push``: a package repository as an OCI artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import cluster_options, output_option
from cozystack.cozypkg.output import write_json
from cozystack.cozypkg.registry import reference_of, registry_options, with_registry
from cozystack.cozypkg.session import Session
from cozystack.oci import OciError, Reference, RegistryClient
from cozystack.oci.repository import pack_repository, push_repository


@click.command("push")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.argument("reference")
@click.option("--source", default="packages", show_default=True, help="Where the files come from, for people: a URL, a name.")
@click.option("--revision", default="", help="Which state of the source they are.  [default: the digest of the content]")
@registry_options
@output_option("text", "json", default="text")
@cluster_options
def command(
    session: Session,
    folder: Path,
    reference: str,
    source: str,
    revision: str,
    insecure: bool,
    docker_config: Path | None,
    output: Literal["text", "json"],
) -> None:
    """Push package repository FOLDER to REFERENCE (oci://HOST/NAME:TAG), in the media types that Flux fetches.

    The same files have the same digest, wherever they are packed. `cozypkg lint` says before whether they are sound.
    """
    from cozystack.cozypkg.repository import open_folder

    target = reference_of(reference)
    if target.digest:
        raise CommandError(f"{reference}: push to a tag, the digest follows from the content")
    open_folder(folder)
    try:
        layer = pack_repository(folder)
    except OciError as error:
        raise CommandError(str(error)) from error
    session.tell(f"pushing {len(layer):,} bytes to {target.repository}")

    async def work(client: RegistryClient) -> str:
        return await push_repository(layer, target, client, source=source, revision=revision)

    digest = with_registry(work, insecure=insecure, docker_config=docker_config, env=session.env)
    pushed = Reference.parse(f"oci://{target.repository}@{digest}")
    if output == "json":
        write_json({"repository": pushed.repository, "tag": target.tag or "latest", "digest": digest}, session.stdout)
    else:
        session.stdout.write(f"oci://{pushed.repository}@{digest}\n")
