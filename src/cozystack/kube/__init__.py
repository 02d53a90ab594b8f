"""The client side of the Kubernetes API."""
