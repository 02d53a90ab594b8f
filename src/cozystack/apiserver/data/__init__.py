"""Schemas, discovery and columns of the built-in kinds, as kube-apiserver 1.37 serves them (structure only)."""
