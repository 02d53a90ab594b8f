"""Cozystack in Python: an operator-driven package platform for Kubernetes."""

__version__ = "0.1.0"
