#!/bin/sh
# Write the lock files again from pyproject.toml. They hold versions and hashes, no addresses.
# Needs uv on the PATH; `make lock` is the way to call it.
set -eu
cd "$(dirname "$0")/.."
compile() {
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet "$@"
}
compile pyproject.toml --extra sandbox --group run --output-file requirements/run.txt
compile pyproject.toml --extra sandbox --group run --group dev --output-file requirements/dev.txt
# The image: what runs in a cluster, and what builds the wheel. The same versions as those that were tested.
compile pyproject.toml --extra cli --constraint requirements/run.txt --output-file requirements/image.txt
compile --group run --constraint requirements/run.txt --output-file requirements/build.txt
