"""What Kubernetes adds: URLs, addresses and networks, quantities, versions, named formats."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import urllib.parse
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from functools import total_ordering
from typing import Any, Final

from cozystack.apiserver.cel.functions import Functions
from cozystack.apiserver.cel.library import costs
from cozystack.apiserver.cel.values import ABSENT, EvalError, Optional, parse_timestamp


def register(functions: Functions) -> None:
    for name in ("URL", "Quantity", "Semver", "NamedFormat"):
        functions.add_types([(f"kubernetes.{name}", f"kubernetes.{name}")])
    functions.add_types([("net.IP", "net.IP"), ("net.CIDR", "net.CIDR")])
    _urls(functions)
    _addresses(functions)
    _quantities(functions)
    _versions(functions)
    _formats(functions)


def _possible(parse: Callable[..., Any]) -> Callable[..., bool]:
    """Whether something can be parsed."""

    def possible(*args: Any) -> bool:
        try:
            parse(*args)
        except EvalError:
            return False
        return True

    return possible


# URLs


class Url:
    __slots__ = ("parts", "text")

    type_name = "kubernetes.URL"

    def __init__(self, text: str) -> None:
        """Raises ``EvalError``."""
        self.text = text
        self.parts = _parsed_url(text)

    def size(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def host(self) -> str:
        return self.parts.netloc.rpartition("@")[2]

    @property
    def hostname(self) -> str:
        host = self.host
        if host.startswith("["):
            return host[1:].partition("]")[0]
        return host.rpartition(":")[0] if ":" in host else host

    @property
    def port(self) -> str:
        rest = self.host.rpartition("]")[2]
        return rest.rpartition(":")[2] if ":" in rest else ""

    @property
    def escaped_path(self) -> str:
        return urllib.parse.quote(self.parts.path, safe="%/$&+,:;=@!'()*~-._")

    @property
    def query(self) -> dict[str, list[str]]:
        return urllib.parse.parse_qs(self.parts.query, keep_blank_values=True)


def _parsed_url(text: str) -> urllib.parse.SplitResult:
    shown = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def wrong(why: str) -> EvalError:
        return EvalError(f"URL parse error during conversion from string: parse {shown}: {why}")

    if not text:
        raise wrong("empty url")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise wrong("net/url: invalid control character in URL")
    scheme, colon, _ = text.partition(":")
    has_scheme = bool(colon) and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme) is not None
    if not has_scheme and not text.startswith("/"):
        if colon and not scheme:
            raise wrong("missing protocol scheme")
        raise wrong("invalid URI for request")
    if has_scheme and not text[len(scheme) + 1 :].startswith("/"):
        raise wrong("invalid URI for request")
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError as error:
        raise wrong(str(error)) from None
    bad = re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", parts.path)
    if bad is not None:
        raise wrong(f'invalid URL escape "{bad.group()}"')
    host = parts.netloc.rpartition("@")[2]
    blank = re.search(r"[ <>\"]", host)
    if blank is not None:
        raise wrong(f'invalid character "{blank.group()}" in host name')
    port = re.search(r":([^\]:]*)$", host)
    if port is not None and not re.fullmatch(r"\d*", port[1]):
        raise wrong(f'invalid port ":{port[1]}" after host')
    return parts


def _urls(functions: Functions) -> None:
    add = functions.add
    add("url", "string_to_url", "(string) -> kubernetes.URL", Url, costs.first)
    add("isURL", "is_url_string", "(string) -> bool", _possible(Url))
    for name, getter in (
        ("getScheme", lambda url: url.parts.scheme),
        ("getHost", lambda url: url.host),
        ("getHostname", lambda url: url.hostname),
        ("getPort", lambda url: url.port),
        ("getEscapedPath", lambda url: url.escaped_path),
    ):
        add(name, f"url_{name}", "kubernetes.URL.() -> string", getter)
    add("getQuery", "url_get_query", "kubernetes.URL.() -> map(string, list(string))", lambda url: url.query)


# Addresses

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class Ip:
    __slots__ = ("address",)

    type_name = "net.IP"

    def __init__(self, address: _Address) -> None:
        self.address = address

    def size(self) -> int:
        return self.address.max_prefixlen // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ip) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class Cidr:
    __slots__ = ("interface",)

    type_name = "net.CIDR"

    def __init__(self, interface: _Network) -> None:
        self.interface = interface

    def size(self) -> int:
        return -(-self.interface.network.prefixlen // 8)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and self.interface == other.interface

    def __hash__(self) -> int:
        return hash(self.interface)

    def __str__(self) -> str:
        return str(self.interface)


def _ip(text: str) -> Ip:
    if "%" in text:
        raise EvalError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        why = f'ParseAddr("{text}"): unable to parse IP'
        raise EvalError(f'IP Address "{text}" parse error during conversion from string: {why}') from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvalError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Ip(address)


def _cidr(text: str) -> Cidr:
    twice = "network address parse error during conversion from string: " * 2
    place, slash, bits = text.rpartition("/")
    if not slash:
        raise EvalError(f"{twice}netip.ParsePrefix(\"{text}\"): no '/'")
    if not re.fullmatch(r"0|[1-9]\d{0,2}", bits, re.ASCII) or "%" in place:
        raise EvalError(f'{twice}netip.ParsePrefix("{text}"): bad bits after slash: "{bits}"')
    try:
        interface = ipaddress.ip_interface(text)
    except ValueError:
        raise EvalError(f'{twice}netip.ParsePrefix("{text}"): prefix length out of range') from None
    if isinstance(interface.ip, ipaddress.IPv6Address) and interface.ip.ipv4_mapped is not None:
        once = "network address parse error during conversion from string: "
        raise EvalError(f'{once}IPv4-mapped IPv6 address "{text}" is not allowed')
    return Cidr(interface)


def _contains_ip(cidr: Cidr, ip: Ip | str) -> bool:
    address = (ip if isinstance(ip, Ip) else _ip(ip)).address
    return address.version == cidr.interface.version and address in cidr.interface.network


def _contains_cidr(cidr: Cidr, other: Cidr | str) -> bool:
    inner = (other if isinstance(other, Cidr) else _cidr(other)).interface.network
    return inner.version == cidr.interface.version and inner.subnet_of(cidr.interface.network)  # type: ignore[arg-type]


def _is_global_unicast(ip: Ip) -> bool:
    address = ip.address
    if isinstance(address, ipaddress.IPv4Address) and address == ipaddress.IPv4Address("255.255.255.255"):
        return False
    return not (address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local)


def _is_link_local_multicast(ip: Ip) -> bool:
    address = ip.address
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def _masked(cidr: Cidr) -> Cidr:
    return Cidr(ipaddress.ip_interface(str(cidr.interface.network)))


@costs.by_function
def _parsing_other(args: costs.Args, result: Any) -> int:
    own = args[0].size()
    more = costs.of_text(len(args[1])) if isinstance(args[1], str) else 0
    return costs.of_text(2 * own) + more


@costs.by_function
def _parsing_network(args: costs.Args, result: Any) -> int:
    return _parsing_other(args, result) + costs.of_text(args[0].size()) + 1


def _addresses(functions: Functions) -> None:
    add = functions.add
    add("ip", "string_to_ip", "(string) -> net.IP", _ip, costs.first)
    add("ip", "cidr_ip", "net.CIDR.() -> net.IP", lambda cidr: Ip(cidr.interface.ip))
    add("isIP", "is_ip", "(string) -> bool", _possible(_ip), costs.first)
    add("family", "ip_family", "net.IP.() -> int", lambda ip: ip.address.version)
    add("ip.isCanonical", "ip_is_canonical", "(string) -> bool", lambda text: str(_ip(text)) == text, costs.first_twice)
    add("isUnspecified", "ip_is_unspecified", "net.IP.() -> bool", lambda ip: ip.address.is_unspecified)
    add("isLoopback", "ip_is_loopback", "net.IP.() -> bool", lambda ip: ip.address.is_loopback)
    add("isLinkLocalMulticast", "ip_is_link_local_multicast", "net.IP.() -> bool", _is_link_local_multicast)
    add("isLinkLocalUnicast", "ip_is_link_local_unicast", "net.IP.() -> bool", lambda ip: ip.address.is_link_local)
    add("isGlobalUnicast", "ip_is_global_unicast", "net.IP.() -> bool", _is_global_unicast)
    add("string", "ip_to_string", "(net.IP) -> string", str)
    add("cidr", "string_to_cidr", "(string) -> net.CIDR", _cidr, costs.first)
    add("isCIDR", "is_cidr", "(string) -> bool", _possible(_cidr), costs.first)
    add("containsIP", "cidr_contains_ip_string", "net.CIDR.(string) -> bool", _contains_ip, _parsing_other)
    add("containsIP", "cidr_contains_ip_ip", "net.CIDR.(net.IP) -> bool", _contains_ip, _parsing_other)
    add("containsCIDR", "cidr_contains_cidr_string", "net.CIDR.(string) -> bool", _contains_cidr, _parsing_network)
    add("containsCIDR", "cidr_contains_cidr", "net.CIDR.(net.CIDR) -> bool", _contains_cidr, _parsing_network)
    add("prefixLength", "cidr_prefix_length", "net.CIDR.() -> int", lambda cidr: cidr.interface.network.prefixlen)
    add("masked", "cidr_masked", "net.CIDR.() -> net.CIDR", _masked)
    add("string", "cidr_to_string", "(net.CIDR) -> string", str)


# Quantities

_QUANTITY: Final = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+|)", re.ASCII)
_SUFFIXES: Final[dict[str, Fraction]] = {
    "": Fraction(1),
    **{suffix: Fraction(1000) ** power for suffix, power in zip("numkMGTPE", (-3, -2, -1, 1, 2, 3, 4, 5, 6), strict=True)},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


@total_ordering
class Quantity:
    """``scaled``: whether it is kept as a number with a power of ten, which is all that can be an integer again."""

    __slots__ = ("number", "scaled")

    type_name = "kubernetes.Quantity"

    def __init__(self, number: Fraction, *, scaled: bool = True) -> None:
        self.number = number
        self.scaled = scaled

    def size(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)

    def __lt__(self, other: Quantity) -> bool:
        return self.number < other.number

    @property
    def whole(self) -> int | None:
        """The number when it is whole and not too large."""
        fits = self.scaled and self.number.denominator == 1 and -(2**63) <= self.number < 2**63
        return int(self.number) if fits else None


def _quantity(text: str) -> Quantity:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise EvalError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    sign, digits, suffix = match.groups()
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix[1] != "i":
        exponent = int(suffix[1:])
        if abs(exponent) > 1000:
            raise EvalError("unable to parse quantity's suffix")
        scale = Fraction(10) ** exponent
    else:
        scale = _SUFFIXES[suffix]
    number = Fraction(digits.rstrip(".") or "0") * scale
    # No quantity is finer than a billionth.
    number = Fraction(-(-number.numerator * 10**9 // number.denominator), 10**9)
    fraction = digits.partition(".")[2]
    scaled = not fraction if suffix.endswith("i") else len(digits.replace(".", "")) <= 18 and scale >= 10 ** len(fraction)
    return Quantity(-number if sign == "-" else number, scaled=scaled)


def _sign(quantity: Quantity) -> int:
    return (quantity.number > 0) - (quantity.number < 0)


def _as_integer(quantity: Quantity) -> int:
    if quantity.whole is None:
        raise EvalError("cannot convert value to integer")
    return quantity.whole


def _other(value: Quantity | int) -> Fraction:
    return value.number if isinstance(value, Quantity) else Fraction(value)


def _quantities(functions: Functions) -> None:
    add, quantity = functions.add, "kubernetes.Quantity"
    add("quantity", "string_to_quantity", f"(string) -> {quantity}", _quantity, costs.first)
    add("isQuantity", "is_quantity_string", "(string) -> bool", _possible(_quantity), costs.first)
    add("sign", "quantity_sign", f"({quantity}) -> int", _sign)
    add("isGreaterThan", "quantity_is_greater_than", f"{quantity}.({quantity}) -> bool", lambda one, two: one > two)
    add("isLessThan", "quantity_is_less_than", f"{quantity}.({quantity}) -> bool", lambda one, two: one < two)
    add("compareTo", "quantity_compare_to", f"{quantity}.({quantity}) -> int", lambda one, two: (one > two) - (one < two))
    add("asApproximateFloat", "quantity_get_float", f"{quantity}.() -> double", lambda value: float(value.number))
    add("asInteger", "quantity_get_int", f"{quantity}.() -> int", _as_integer)
    add("isInteger", "quantity_is_integer", f"{quantity}.() -> bool", lambda value: value.whole is not None)

    def plus(one: Quantity, two: Any) -> Quantity:
        return Quantity(one.number + _other(two), scaled=one.scaled)

    def minus(one: Quantity, two: Any) -> Quantity:
        return Quantity(one.number - _other(two), scaled=one.scaled)

    for other, suffix in ((quantity, ""), ("int", "_int")):
        add("add", f"quantity_add{suffix}", f"{quantity}.({other}) -> {quantity}", plus)
        add("sub", f"quantity_sub{suffix}", f"{quantity}.({other}) -> {quantity}", minus)


# Versions

_NUMBER: Final = r"0|[1-9]\d*"
_SEMVER: Final = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?",
    re.ASCII,
)


@total_ordering
class Semver:
    __slots__ = ("build", "numbers", "pre")

    type_name = "kubernetes.Semver"

    def __init__(self, numbers: tuple[int, int, int], pre: tuple[str, ...], build: str) -> None:
        self.numbers = numbers
        self.pre = pre
        self.build = build

    def size(self) -> int:
        return 1

    @property
    def _key(self) -> Any:
        words = tuple((0, int(word), "") if word.isdecimal() else (1, 0, word) for word in self.pre)
        return (self.numbers, not self.pre, words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Semver) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __lt__(self, other: Semver) -> bool:
        return bool(self._key < other._key)


def _semver(text: str, normalize: bool = False) -> Semver:
    match = _SEMVER.fullmatch(_normalized(text) if normalize else text)
    if match is None:
        raise EvalError(_semver_fault(_normalized(text) if normalize else text))
    pre = tuple(match[4].split(".")) if match[4] else ()
    for word in pre:
        if word.isdecimal() and len(word) > 1 and word[0] == "0":
            raise EvalError(f'Numeric PreRelease version must not contain leading zeroes "{word}"')
    return Semver((int(match[1]), int(match[2]), int(match[3])), pre, match[5] or "")


def _semver_fault(text: str) -> str:
    if not text:
        return "Version string empty"
    parts = text.split(".", 2)
    if len(parts) != 3:
        return "No Major.Minor.Patch elements found"
    for word, part in zip(("major", "minor"), parts, strict=False):
        if not part.isdecimal():
            return f'Invalid character(s) found in {word} number "{part}"'
        if len(part) > 1 and part[0] == "0":
            return f'{word.capitalize()} number must not contain leading zeroes "{part}"'
    patch = re.split(r"[-+]", parts[2], maxsplit=1)[0]
    if not patch.isdecimal():
        return f'Invalid character(s) found in patch number "{patch}"'
    if len(patch) > 1 and patch[0] == "0":
        return f'Patch number must not contain leading zeroes "{patch}"'
    return f'Invalid character(s) found in prerelease "{parts[2][len(patch) + 1 :]}"'


def _normalized(text: str) -> str:
    """Without a leading v, with three numbers, without leading zeroes."""
    text = text.removeprefix("v")
    parts = text.split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[index] = stripped if stripped and stripped[0] in "0123456789" else "0" + stripped
    if len(parts) < 3:
        if any(char in parts[-1] for char in "+-"):
            return ".".join(parts)
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _versions(functions: Functions) -> None:
    add, semver = functions.add, "kubernetes.Semver"
    add("semver", "string_to_semver", f"(string) -> {semver}", _semver, costs.first)
    add("semver", "string_bool_to_semver", f"(string, bool) -> {semver}", _semver, costs.first)
    add("isSemver", "is_semver_string", "(string) -> bool", _possible(_semver), costs.first)
    add("isSemver", "is_semver_string_bool", "(string, bool) -> bool", _possible(_semver), costs.first)
    add("isGreaterThan", "semver_is_greater_than", f"{semver}.({semver}) -> bool", lambda one, two: one > two)
    add("isLessThan", "semver_is_less_than", f"{semver}.({semver}) -> bool", lambda one, two: one < two)
    add("compareTo", "semver_compare_to", f"{semver}.({semver}) -> int", lambda one, two: (one > two) - (one < two))
    for index, name in enumerate(("major", "minor", "patch")):
        add(name, f"semver_{name}", f"{semver}.() -> int", _part(index))


def _part(index: int) -> Callable[[Semver], int]:
    return lambda value: value.numbers[index]


# Formats

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035: Final = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED: Final = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_MESSAGE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character"
)
_SUBDOMAIN_MESSAGE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character"
)
_LABEL_1035_MESSAGE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    "with an alphanumeric character"
)
_QUALIFIED_MESSAGE: Final = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)


def _regex_error(message: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def _named(pattern: str, longest: int, message: str, *examples: str) -> Callable[[str], list[str]]:
    known = re.compile(pattern)

    def validate(text: str) -> list[str]:
        found = []
        if len(text.encode()) > longest:
            found.append(f"must be no more than {longest} bytes")
        if known.fullmatch(text) is None:
            found.append(_regex_error(message, pattern, *examples))
        return found

    return validate


_label = _named(_LABEL, 63, _LABEL_MESSAGE, "my-name", "123-abc")
_subdomain = _named(_SUBDOMAIN, 253, _SUBDOMAIN_MESSAGE, "example.com")
_label_1035 = _named(_LABEL_1035, 63, _LABEL_1035_MESSAGE, "my-name", "abc-123")


def _label_value(text: str) -> list[str]:
    found = []
    if len(text) > 63:
        found.append("must be no more than 63 bytes")
    if re.fullmatch(f"({_QUALIFIED})?", text) is None:
        message = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
            "end with an alphanumeric character"
        )
        found.append(_regex_error(message, f"({_QUALIFIED})?", "MyValue", "my_value", "12345"))
    return found


def _qualified_name(text: str) -> list[str]:
    found = []
    prefix, slash, name = text.partition("/")
    if "/" in name:
        whole = _regex_error(_QUALIFIED_MESSAGE, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"a qualified name {whole} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if slash:
        if not prefix:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {message}" for message in _subdomain(prefix)]
    else:
        name = prefix
    if not name:
        found.append("name part must be non-empty")
    elif len(name) > 63:
        found.append("name part must be no more than 63 bytes")
    if re.fullmatch(_QUALIFIED, name) is None:
        found.append(f"name part {_regex_error(_QUALIFIED_MESSAGE, _QUALIFIED, 'MyName', 'my.name', '123-abc')}")
    return found


def _prefix_of(validate: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
    """A name that something is going to be appended to may end with a dash."""
    return lambda text: validate(text[:-2] + "a" if len(text) > 1 and text.endswith("-") else text)


def _uri(text: str) -> list[str]:
    try:
        _parsed_url(text)
    except EvalError as error:
        return [str(error).removeprefix("URL parse error during conversion from string: ")]
    return []


def _matching(pattern: str, message: str) -> Callable[[str], list[str]]:
    known = re.compile(pattern, re.ASCII)
    return lambda text: [] if known.fullmatch(text) else [message]


def _byte(text: str) -> list[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ["invalid base64"]
    return [] if text else ["invalid base64"]


def _date(text: str) -> list[str]:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
            raise ValueError
        date.fromisoformat(text)
    except ValueError:
        return ["invalid date"]
    return []


def _datetime(text: str) -> list[str]:
    try:
        parse_timestamp(text)
    except EvalError:
        return ["invalid datetime"]
    return []


_UUID: Final = r"[0-9A-Fa-f]{8}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{4}-?[0-9A-Fa-f]{12}"


class Format:
    __slots__ = ("name", "pattern_size", "validate")

    type_name = "kubernetes.NamedFormat"

    def __init__(self, name: str, pattern_size: int, validate: Callable[[str], list[str]]) -> None:
        self.name = name
        self.pattern_size = pattern_size
        self.validate = validate

    def size(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


FORMATS: Final = {
    name: Format(shown, size, validate)
    for name, shown, size, validate in (
        ("dns1123Label", "DNS1123Label", 30, _label),
        ("dns1123Subdomain", "DNS1123Subdomain", 60, _subdomain),
        ("dns1035Label", "DNS1035Label", 30, _label_1035),
        ("qualifiedName", "QualifiedName", 60, _qualified_name),
        ("dns1123LabelPrefix", "DNS1123LabelPrefix", 30, _prefix_of(_label)),
        ("dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, _prefix_of(_subdomain)),
        ("dns1035LabelPrefix", "DNS1035LabelPrefix", 30, _prefix_of(_label_1035)),
        ("labelValue", "LabelValue", 40, _label_value),
        ("uri", "URI", 1104, _uri),
        ("uuid", "uuid", 72, _matching(_UUID, "does not match the UUID format")),
        ("byte", "byte", 84, _byte),
        ("date", "date", 72, _date),
        ("datetime", "datetime", 72, _datetime),
    )
}


def _validated(format_: Format, text: str) -> Optional:
    found = format_.validate(text)
    return Optional(found) if found else ABSENT


@costs.by_function
def _format_cost(args: costs.Args, result: Any) -> int:
    return costs.of_text(1.0 + len(args[1])) * costs.of_text(args[0].pattern_size, 0.25)


def _formats(functions: Functions) -> None:
    type_ = "kubernetes.NamedFormat"
    for name, format_ in FORMATS.items():
        functions.add(f"format.{name}", f"format-{name}", f"() -> {type_}", _giving(format_))
    functions.add("format.named", "format-named", f"(string) -> optional({type_})", _format_named)
    functions.add("validate", "format-validate", f"{type_}.(string) -> optional(list(string))", _validated, _format_cost)


def _giving(format_: Format) -> Callable[[], Format]:
    return lambda: format_


def _format_named(name: str) -> Optional:
    return Optional(FORMATS[name]) if name in FORMATS else ABSENT
