"""``cozypkg pull``: the files of a package repository from a registry."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import click

from cozystack.cozypkg.errors import CommandError
from cozystack.cozypkg.options import cluster_options
from cozystack.cozypkg.registry import reference_of, registry_options, with_registry
from cozystack.cozypkg.session import Session
from cozystack.oci import OciError, Pulled, RegistryClient, pack_files, unpack
from cozystack.oci.repository import files_of


@click.command("pull")
@click.argument("reference")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@registry_options
@cluster_options
def command(session: Session, reference: str, folder: Path, insecure: bool, docker_config: Path | None) -> None:
    """Fetch REFERENCE (oci://HOST/NAME:TAG or @DIGEST) and write its files to FOLDER, which must be new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CommandError(f"{folder} is there already and not empty")
    source = reference_of(reference)

    async def work(client: RegistryClient) -> Pulled:
        return await client.pull(source)

    pulled = with_registry(work, insecure=insecure, docker_config=docker_config, env=session.env)
    try:
        files = files_of(pulled)
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place, and moved there when it is whole: an interrupted pull leaves no half of a repository.
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            unpack(pack_files(files.items()), temporary)
            temporary.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
    except OciError as error:
        raise CommandError(f"{reference}: {error}") from error
    except OSError as error:
        raise CommandError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from error
    session.tell(f"wrote {len(files)} files to {folder}")
    session.stdout.write(f"oci://{source.repository}@{pulled.digest}\n")
