"""Turns what an operator wrote into values; what is wrong is said without repeating it.

Every function takes what a source may hold (text, or what TOML knows) and raises ValueError with
a predicate, such as "should be …".
"""

import json
import re
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from twinlock.mail.mailbox import address_of

Network = IPv4Network | IPv6Network

_NUMBER: Final = re.compile(r"\d{1,10}", re.ASCII)
_ISO_8601: Final = re.compile(
    r"P(?=.)(?:(?P<weeks>\d{1,4})W)?(?:(?P<days>\d{1,5})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,10})S)?)?",
    re.ASCII,
)
_HOST_NAME: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*"
_ORIGIN: Final = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_HOST_NAME}|\[[0-9a-f.]*:[0-9a-f:.]*\])"
    r"(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_LINK_PATH: Final = re.compile(r"(/[A-Za-z0-9._~-]+)*", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65535
_USERINFO: Final = re.compile(r"(://[^:]*):.*@", re.DOTALL)
_URL_START: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TELLING: Final = re.compile(r"pass|pwd|secret|token|key|auth", re.IGNORECASE)
MASK: Final = "***"


def read_list(given: object) -> object:
    """Return the parts of a text: a JSON list, or words between commas and spaces."""
    if not isinstance(given, str):
        return given
    if not given.lstrip().startswith("["):
        return [word for word in re.split(r"[,\s]+", given) if word]
    try:
        return json.loads(given)
    except ValueError:
        raise ValueError("should be a JSON list, or a list with commas") from None


def read_keys_text(given: object) -> object:
    """Return the parts of a list of keys; ``#`` begins a comment, as in the key file."""
    if isinstance(given, str):
        given = re.sub(r"#.*", "", given)
    return read_list(given)


def read_duration(given: object) -> object:
    """Return the time span that a text spells: seconds, or ISO 8601 without months and years."""
    if not isinstance(given, str):
        return given
    text = given.strip().upper()
    if _NUMBER.fullmatch(text):
        return timedelta(seconds=int(text))
    parts = _ISO_8601.fullmatch(text)
    if parts is None:
        raise ValueError("should be a number of seconds, or an ISO 8601 duration such as PT10M")
    return timedelta(**{unit: int(count) for unit, count in parts.groupdict("0").items()})


def write_duration(span: timedelta) -> str:
    """Return *span* as ISO 8601, such as ``P1DT30M``."""
    seconds = int(span.total_seconds())
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    clock = [(hours, "H"), (minutes, "M"), (seconds, "S")]
    time = "".join(f"{count}{unit}" for count, unit in clock if count)
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}" if days or time else "PT0S"


def read_origin(given: str) -> str:
    """Return an origin (RFC 6454 section 6.2) as browsers write it, a final slash forgiven."""
    parts = _ORIGIN.fullmatch(given.strip().lower().removesuffix("/"))
    if parts is None:
        raise ValueError(
            "should be https:// with a host and perhaps a port, and nothing after it (a name with "
            "other letters in its xn-- form)"
        )
    scheme, host = parts["scheme"], parts["host"]
    if host.startswith("["):
        host = f"[{_address(host[1:-1])}]"
    elif re.fullmatch(r"[\d.]+", host):
        host = _address(host)
    port = int(parts["port"] or _DEFAULT_PORTS[scheme])
    if not 0 < port <= _LAST_PORT:
        raise ValueError("names a port that does not exist")
    return f"{scheme}://{host}" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}"


def read_link_base(given: str) -> str:
    """Return an address that links begin with: an origin, and a path without a final slash."""
    parts = urlsplit(given)
    path = parts.path.rstrip("/")
    if parts.query or parts.fragment or not _LINK_PATH.fullmatch(path):
        raise ValueError("should be an address such as https://app.example.com/account")
    return read_origin(f"{parts.scheme}://{parts.netloc}") + path


def read_service_url(given: str) -> str:
    """Return the address of a service elsewhere, without a final slash."""
    url = read_link_base(given)
    if url.startswith("http:") and not is_loopback(urlsplit(url).hostname or ""):
        raise ValueError("should begin with https://, but for this machine")
    return url


def read_host(given: str) -> str:
    """Return the name or address of an interface to listen on."""
    host = given.strip().lower()
    is_name = re.fullmatch(_HOST_NAME, host, re.ASCII) and not re.fullmatch(r"[\d.]+", host)
    if is_name or is_address(host):
        return host
    raise ValueError("should be an address or a host name, without port or scheme")


def read_rp_id(given: str) -> str:
    """Return a host name that passkeys can be bound to; an address cannot be one."""
    host = given.strip().lower()
    if not re.fullmatch(_HOST_NAME, host, re.ASCII) or re.fullmatch(r"[\d.]+", host):
        raise ValueError("should be a host name, without scheme and port, and no address")
    return host


def read_network(given: object) -> Network:
    """Return the network of a text such as ``10.0.0.0/8``; never the whole internet."""
    if isinstance(given, IPv4Network | IPv6Network):
        network = given
    elif not isinstance(given, str) or given == "*":
        raise ValueError(
            "should list addresses or networks, never *: anyone could say who they are"
        )
    else:
        try:
            network = ip_network(given)
        except ValueError:
            raise ValueError("should list addresses or networks such as 10.0.0.0/8") from None
    if network.prefixlen == 0:
        raise ValueError("should not trust every address: anyone could say who they are")
    return network


def read_path(given: Path) -> Path:
    """Return an absolute path, so that a later change of the working directory means nothing."""
    if "\0" in str(given):
        raise ValueError("should be a path")
    return given.expanduser().absolute()


def read_plain_text(given: str) -> str:
    """Return a text without control characters."""
    if not given.isprintable():
        raise ValueError("should be text without line breaks and control characters")
    return given


def read_label(given: str) -> str:
    """Return a text without a colon, which parts issuer and account in an otpauth URI."""
    if ":" in given:
        raise ValueError("should not hold a colon")
    return given


def read_database_url(given: str) -> str:
    """Return the URL of a kind of database that we work with."""
    scheme, mark, _ = given.partition("://")
    if not mark or scheme.partition("+")[0] not in {"sqlite", "postgresql"}:
        raise ValueError("should begin with sqlite:/// or postgresql://")
    return given


def read_smtp_url(given: SecretStr) -> SecretStr:
    """Return the URL of a mail server."""
    scheme, mark, rest = given.get_secret_value().partition("://")
    if not mark or not rest or scheme not in {"smtp", "smtps"}:
        raise ValueError("should begin with smtp:// or smtps:// and name a host")
    return given


def is_below(host: str, parent: str) -> bool:
    """Tell whether *host* is *parent*, or a name below it."""
    return host == parent or host.endswith(f".{parent}")


def read_mail_from(given: str) -> str:
    """Return the sender of mails, as an address or as a name and an address."""
    user, at, host = address_of(given).rpartition("@")
    if not (given.isprintable() and at and user and host) or set(user + host) & set(" <>"):
        raise ValueError("should be an e-mail address, or a name and <an e-mail address>")
    return given


def is_address(host: str) -> bool:
    """Tell whether *host* is an IP address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback_address(host: str) -> bool:
    """Tell whether *host* is an address of this machine, without asking a resolver."""
    return is_address(host) and ip_address(host).is_loopback


def is_loopback(host: str) -> bool:
    """Tell whether *host* means this machine (RFC 6761 section 6.3 for the name)."""
    return is_loopback_address(host) or host == "localhost" or host.endswith(".localhost")


def host_of(origin: str) -> str:
    """Return the host of a text that `read_origin` returned, an IPv6 address without brackets."""
    parts = _ORIGIN.fullmatch(origin)
    if parts is None:
        raise ValueError("not an origin")
    return parts["host"].strip("[]")


def mask_url(url: str) -> str:
    """Return *url* without what could be a password; rather too little than too much."""
    if not _URL_START.match(url):
        return MASK
    shown = _USERINFO.sub(rf"\1:{MASK}@", url)
    base, mark, query = shown.partition("?")
    return base + mark + "&".join(_masked_pair(pair) for pair in query.split("&"))


def _masked_pair(pair: str) -> str:
    name, mark, _ = pair.partition("=")
    return f"{name}{mark}{MASK}" if mark and _TELLING.search(unquote(name)) else pair


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("names an address that does not exist") from None
