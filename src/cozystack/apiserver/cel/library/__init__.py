"""The functions of Kubernetes' CEL, library by library.

==================  ==================================================================
``standard``        operators, conversions, times, optional values
``texts``           strings and regular expressions
``collections``     lists and sets
``kubernetes``      URLs, addresses, quantities, versions, formats
``authorization``   ``authorizer``
==================  ==================================================================
"""

from __future__ import annotations

from functools import cache

import cozystack.apiserver.cel.library.authorization as authorization
import cozystack.apiserver.cel.library.collections as collections
import cozystack.apiserver.cel.library.kubernetes as kubernetes
import cozystack.apiserver.cel.library.standard as standard
import cozystack.apiserver.cel.library.texts as texts
from cozystack.apiserver.cel.functions import Functions

__all__ = ["all_functions"]


@cache
def all_functions() -> Functions:
    """Every function that an expression of kube-apiserver can call."""
    functions = Functions()
    for library in (standard, texts, collections, kubernetes, authorization):
        library.register(functions)
    return functions
