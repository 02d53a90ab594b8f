"""CEL, the language of Kubernetes' validation rules and admission policies.

==================  =================================================================================
``syntax``          a text as a tree, macros expanded
``types``           types, and what can be used where
``check``           the types of a tree
``functions``       overloads; ``library`` has them all
``values``          values and their equality
``plan``            a tree as functions of Python that count costs
``estimate``        the costs that are possible, before anything is evaluated
``environment``     all of it together: ``Environment(...).compile(text).evaluate(names)``
``declarations``    types and values by a structural schema
``rules``           ``x-kubernetes-validations`` of custom resources
``regex``           regular expressions in linear time
==================  =================================================================================

See ``docs/design/cel.md``.
"""

from cozystack.apiserver.cel.environment import PER_CALL_LIMIT, CompileError, Environment, LimitExceeded, Program
from cozystack.apiserver.cel.values import EvalError

__all__ = ["PER_CALL_LIMIT", "CompileError", "Environment", "EvalError", "LimitExceeded", "Program"]
