"""Acting as somebody else: the ``Impersonate-`` headers, for those who are allowed to ``impersonate`` all that they name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import unquote

from cozystack.apiserver import errors
from cozystack.apiserver.auth import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, account_groups, account_of
from cozystack.apiserver.http.messages import Request, User
from cozystack.apiserver.rbac import Attributes, Authorizer

_USER: Final = "impersonate-user"
_GROUP: Final = "impersonate-group"
_UID: Final = "impersonate-uid"
_EXTRA: Final = "impersonate-extra-"
_AUTHENTICATION: Final = "authentication.k8s.io"


def headers(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those of ``pairs`` (names in lower case) that say whom to act as."""
    return [(name, value) for name, value in pairs if name in (_USER, _GROUP, _UID) or name.startswith(_EXTRA)]


def acting_user(request: Request, user: User, authorizer: Authorizer) -> User:
    """The user that ``user`` wants to act as, who is ``user`` itself when there is nothing of that; raises ``ApiError``."""
    given = request.acting_as or headers(list(request.headers.items()))
    if not given:
        return user
    name = next((value for header, value in given if header == _USER and value), "")
    if not name:
        wanted = ", ".join(header for header, _ in given)
        raise errors.bad_request(f"requested {wanted} without impersonating a user")
    account = account_of(name)
    groups = [value for header, value in given if header == _GROUP]
    uid = next((value for header, value in given if header == _UID), "")
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in given:
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), value)
    for attributes in _needed(user, name, account, groups, uid, extra):
        authorizer.require(attributes)
    if account is not None and not groups:
        groups = list(account_groups(account[0]))
    if name == ANONYMOUS.name:
        if UNAUTHENTICATED not in groups:
            groups.append(UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(name, tuple(groups), uid, extra)


def _needed(
    user: User,
    name: str,
    account: tuple[str, str] | None,
    groups: Sequence[str],
    uid: str,
    extra: dict[str, tuple[str, ...]],
) -> Iterator[Attributes]:
    if account is not None:
        yield Attributes(user, "impersonate", "", "serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Attributes(user, "impersonate", "", "users", name=name)
    for group in groups:
        yield Attributes(user, "impersonate", "", "groups", name=group)
    for key, values in extra.items():
        for value in values:
            yield Attributes(user, "impersonate", _AUTHENTICATION, "userextras", key, name=value)
    if uid:
        yield Attributes(user, "impersonate", _AUTHENTICATION, "uids", name=uid)
