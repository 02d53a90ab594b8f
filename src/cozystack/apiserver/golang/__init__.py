"""Built-in kinds as the Go types of Kubernetes have them."""
