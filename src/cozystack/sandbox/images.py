"""What a container of the sandbox really runs: a program of this project, a stand-in of Flux, or nothing.

An image of the project's own runs for real, whatever its registry and tag: its last path element is ``cozystack``. Images of
Flux's controllers start our stand-ins, which get the same arguments. Every other image is simulated. Commands are looked up
among the project's programs and never in the PATH, so no chart can start anything else on this machine.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Final

from cozystack.sandbox.workloads.actions import Obj

PROGRAMS: Final = {"cozystack-operator": "cozystack.operator.main", "cozystack-migrate": "cozystack.migrate.main"}
FLUX_CONTROLLERS: Final = {"source-controller": "source", "source-watcher": "watcher", "helm-controller": "helm"}
_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


def image_name(image: str) -> str:
    """The last path element of an image, without tag and digest.

    >>> image_name("registry.example.org:5000/acme/cozystack:v1@sha256:00")
    'cozystack'
    """
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def real_command(container: Obj, environment: Mapping[str, str]) -> list[str] | None:
    """The command line of a container that runs for real, or nothing for a simulated one."""
    name = image_name(container.get("image", ""))
    arguments = [expand(argument, environment) for argument in container.get("args", ())]
    if name in FLUX_CONTROLLERS:
        return [sys.executable, "-m", "cozystack.flux", f"--controllers={FLUX_CONTROLLERS[name]}", *arguments]
    if name != "cozystack":
        return None
    command = [expand(word, environment) for word in container.get("command", ())] or ["cozystack-operator"]
    program = PROGRAMS.get(command[0].rpartition("/")[2])
    if program is None:
        return None
    return [sys.executable, "-m", program, *command[1:], *arguments]


def is_real(pod: Obj) -> bool:
    """Whether any container of the Pod runs for real; then they all count as real, the others as idle."""
    return any(real_command(container, {}) is not None for container in pod["spec"].get("containers", ()))


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``$(NAME)`` as Kubernetes expands it: unknown names stay, ``$$`` is a dollar sign."""

    def replace(found: re.Match[str]) -> str:
        name = found.group(1)
        if name is None:
            return "$"
        return environment.get(name, found.group(0))

    return _REFERENCE.sub(replace, text)
