#!/bin/sh
# Write the lock files again from pyproject.toml. They hold versions and hashes, no addresses.
# Needs uv on the PATH; `make lock` is the way to call it.
set -eu
cd "$(dirname "$0")/.."
compile() {
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet "$@"
}
compile --extra sandbox --group run --output-file requirements/run.txt
compile --extra sandbox --group run --group dev --output-file requirements/dev.txt
