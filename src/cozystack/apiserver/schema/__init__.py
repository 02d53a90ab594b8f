"""Schemas of objects: read from OpenAPI or from a CRD, checked against, pruned by, defaulted from."""

from __future__ import annotations

from cozystack.apiserver.schema.check import FieldError, unknown_fields, validate, validate_change
from cozystack.apiserver.schema.model import ANY, Schema, from_crd, from_openapi
from cozystack.apiserver.schema.shape import apply_defaults, coerced, prune
from cozystack.apiserver.schema.structural import default_errors, structural_errors

__all__ = [
    "ANY",
    "FieldError",
    "Schema",
    "apply_defaults",
    "coerced",
    "default_errors",
    "from_crd",
    "from_openapi",
    "prune",
    "structural_errors",
    "unknown_fields",
    "validate",
    "validate_change",
]
