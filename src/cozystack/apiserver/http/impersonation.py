"""Acting as somebody else: the ``Impersonate-`` headers, for those who are allowed to.

There are several ways to be allowed. The old one, ``impersonate``, lets somebody be another user for whatever that user may do.
The others are narrower: ``impersonate:MODE`` says whom one may act as, ``impersonate-on:MODE:VERB`` what one may do meanwhile;
the mode is for a service account, a node, the node that one runs on, or any other user. The first way that is open is taken;
when none is, the refusal is that of the first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from cozystack.apiserver import errors
from cozystack.apiserver.auth import ANONYMOUS, AUTHENTICATED, NODE_NAME, UNAUTHENTICATED, account_groups, account_of
from cozystack.apiserver.errors import ApiError
from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.rbac import Attributes, Authorizer

_USER: Final = "impersonate-user"
_GROUP: Final = "impersonate-group"
_UID: Final = "impersonate-uid"
_EXTRA: Final = "impersonate-extra-"
_AUTHENTICATION: Final = "authentication.k8s.io"
_NODE: Final = "system:node:"
_NODES: Final = "system:nodes"


def headers(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of ``pairs`` (names in lower case) that say whom to act as."""
    return [(name, value) for name, value in pairs if name in (_USER, _GROUP, _UID) or name.startswith(_EXTRA)]


def is_acting(request: Request) -> bool:
    """Whether the sender wants to act as somebody else."""
    return bool(request.acting_as) or any(name.startswith("impersonate-") for name in request.headers)


def acting_user(request: Request, asked: Attributes, authorizer: Authorizer) -> User:
    """The user that the sender of ``asked`` wants to act as; raises ``ApiError``."""
    given = request.acting_as or headers(list(request.headers.items()))
    if not given:
        return asked.user
    wanted = _wanted(given)
    if not wanted.name:
        raise errors.bad_request(f"requested {_shown(wanted)} without impersonating a user name")
    refused: ApiError | None = None
    for mode in (*_modes(asked.user, wanted), ""):
        try:
            return _checked(authorizer, asked, wanted, mode)
        except ApiError as error:
            refused = refused or error
    raise refused or errors.internal("nobody can be acted as")


def _wanted(given: Sequence[tuple[str, str]]) -> User:
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in given:
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    return User(
        next((value for header, value in given if header == _USER), ""),
        tuple(value for header, value in given if header == _GROUP),
        next((value for header, value in given if header == _UID), ""),
        extra,
    )


def _modes(sender: User, wanted: User) -> Iterator[str]:
    """The narrow ways in which ``wanted`` can be acted as."""
    alone = not (wanted.groups or wanted.uid or wanted.extra)
    if _node(wanted.name):
        if alone:
            if account_of(sender.name) and tuple(sender.extra.get(NODE_NAME, ())) == (_node(wanted.name),):
                yield "associated-node"
            yield "arbitrary-node"
    elif account_of(wanted.name):
        if alone:
            yield "serviceaccount"
    else:
        yield "user-info"


def _checked(authorizer: Authorizer, asked: Attributes, wanted: User, mode: str) -> User:
    """``wanted`` with all its groups; raises ``ApiError`` unless the sender may act as all of it in that mode."""
    if mode:
        authorizer.require(asked._replace(verb=f"impersonate-on:{mode}:{asked.verb}"))
    for attributes in _needed(asked.user, wanted, mode):
        authorizer.require(attributes)
    groups = list(wanted.groups)
    account = account_of(wanted.name)
    if account is not None and not groups:
        groups += account_groups(account[0])
    elif mode and _node(wanted.name):
        groups.append(_NODES)
    if wanted.name == ANONYMOUS.name:
        if UNAUTHENTICATED not in groups:
            groups.append(UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(wanted.name, tuple(groups), wanted.uid, wanted.extra)


def _needed(sender: User, wanted: User, mode: str) -> Iterator[Attributes]:
    verb = f"impersonate:{mode}" if mode else "impersonate"
    group = _AUTHENTICATION if mode else ""
    account = account_of(wanted.name)
    if account is not None:
        yield Attributes(sender, verb, group, "serviceaccounts", namespace=account[0], name=account[1])
    elif mode.endswith("-node"):
        yield Attributes(sender, verb, group, "nodes", name="*" if mode == "associated-node" else _node(wanted.name))
    else:
        yield Attributes(sender, verb, group, "users", name=wanted.name)
    if wanted.uid:
        yield Attributes(sender, verb, _AUTHENTICATION, "uids", name=wanted.uid)
    for name in wanted.groups:
        yield Attributes(sender, verb, group, "groups", name=name)
    for key, values in wanted.extra.items():
        for value in values:
            yield Attributes(sender, verb, _AUTHENTICATION, "userextras", key, name=value)


def _node(user: str) -> str:
    """The name of the node that a user name is that of."""
    return user.removeprefix(_NODE) if user.startswith(_NODE) else ""


def _shown(user: User) -> str:
    """A user as Go prints it, which is how the refusal shows it."""

    def texts(values: Sequence[str]) -> str:
        return "[]string{" + ", ".join(json.dumps(value, ensure_ascii=False) for value in values) + "}"

    groups = texts(user.groups) if user.groups else "[]string(nil)"
    pairs = ", ".join(f"{json.dumps(key, ensure_ascii=False)}:{texts(values)}" for key, values in sorted(user.extra.items()))
    extra = f"map[string][]string{{{pairs}}}" if pairs else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{json.dumps(user.uid)}, Groups:{groups}, Extra:{extra}}}'
