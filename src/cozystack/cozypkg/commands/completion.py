"""``cozypkg completion``: what makes a shell complete commands, options, packages, variants and components."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cozystack.cozypkg.options import cluster_options
from cozystack.cozypkg.session import Session

_HOW = {
    "bash": "source <(cozypkg completion bash)                            # in ~/.bashrc",
    "zsh": "source <(cozypkg completion zsh)                              # in ~/.zshrc, after compinit",
    "fish": "cozypkg completion fish > ~/.config/fish/completions/cozypkg.fish",
}


@click.command(
    "completion",
    epilog="\b\n" + "\n".join(_HOW.values()),
)
@click.argument("shell", type=click.Choice(list(_HOW)))
@cluster_options
def command(session: Session, shell: str) -> None:
    """Print the completion script for SHELL."""
    from cozystack.cozypkg.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"{shell} is not supported")
    maker = kind(cli, {}, "cozypkg", "_COZYPKG_COMPLETE")
    # The script, without asking a bash for its version as click's own ``source`` does: it is printed for another one.
    session.stdout.write(maker.source_template % maker.source_vars() + "\n")
