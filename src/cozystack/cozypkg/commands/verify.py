"""``cozypkg verify``: whether an artifact is what it says, and what a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click
import msgspec

from cozystack.cozypkg.errors import CommandError, Exit
from cozystack.cozypkg.options import cluster_options, output_option
from cozystack.cozypkg.output import write_json
from cozystack.cozypkg.registry import reference_of, registry_options, with_registry
from cozystack.cozypkg.session import Session
from cozystack.oci import LAYER, OciError, Pulled, RegistryClient, digest_of, pack, read_archive
from cozystack.oci.repository import MARK, differences, files_of, is_marked_rightly, pack_repository

_SHOWN = 20


@click.command("verify")
@click.argument("reference")
@click.option(
    "--against", type=click.Path(path_type=Path, file_okay=False), help="Compare with the package repository in this folder."
)
@registry_options
@output_option("text", "json", default="text")
@cluster_options
def command(
    session: Session,
    reference: str,
    against: Path | None,
    insecure: bool,
    docker_config: Path | None,
    output: Literal["text", "json"],
) -> int:
    """Check that REFERENCE holds what its digests say, in media types that Flux takes, and that it is a package repository.

    With --against also that it holds the files of a folder, byte for byte. Exit code 2 when something differs.
    """
    source = reference_of(reference)

    async def work(client: RegistryClient) -> Pulled:
        return await client.pull(source)

    pulled = with_registry(work, insecure=insecure, docker_config=docker_config, env=session.env)
    try:
        files, faults = files_of(pulled), list(_faults(pulled))
        different = []
        same = None
        if against is not None:
            folder = {path: content for path, content in read_archive(pack(against)).items() if path != MARK}
            different = list(differences(files, folder))
            same = digest_of(pack_repository(against)) == digest_of(pulled.layer)
            if not different and not same:
                faults.append("the files are those of the folder, but were packed otherwise")
    except OciError as error:
        raise CommandError(f"{reference}: {error}") from error
    if output == "json":
        write_json(
            {
                "reference": f"oci://{source.repository}@{pulled.digest}",
                "files": len(files),
                "faults": faults,
                "differences": [msgspec.to_builtins(each) for each in different],
                "annotations": pulled.annotations,
            },
            session.stdout,
        )
    else:
        for fault in faults:
            session.stdout.write(f"{fault}\n")
        for each in different[:_SHOWN]:
            session.stdout.write(f"{each.how}: {each.path}\n")
        if len(different) > _SHOWN:
            session.stdout.write(f"and {len(different) - _SHOWN} more\n")
        if not faults and not different:
            session.stdout.write(f"oci://{source.repository}@{pulled.digest}: {len(files)} files, as they should be\n")
    return Exit.FOUND if faults or different else Exit.OK


def _faults(pulled: Pulled) -> list[str]:
    faults = []
    types = [str(layer.get("mediaType", "")) for layer in pulled.manifest.get("layers") or ()]
    if types != [LAYER]:
        faults.append(f"the layers are {', '.join(types) or 'none'}; Flux takes one of {LAYER}")
    if not is_marked_rightly(pulled):
        faults.append(f"{MARK} is not that of the files: the artifact was changed after it was packed")
    files = files_of(pulled)
    if not any(path.endswith("/Chart.yaml") for path in files):
        faults.append("there is no chart in it: this is no package repository")
    return faults
