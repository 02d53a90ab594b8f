"""The server side of the Kubernetes API, embedded. Knows nothing of packages."""
