"""OCI artifacts: pack, push, pull, and a registry."""
