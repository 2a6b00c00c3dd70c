"""Settings, *Server*: where the server listens, under which address, and whom it answers."""

from twinlock.config.explained import SettingsGroup, setting
from twinlock.config.kinds import Host, Networks, Origin, Origins


class ServerSettings(SettingsGroup):
    """Where the server listens, under which address, and whom it answers."""

    heading = "Server"

    host: Host = setting(
        "127.0.0.1",
        "The address to listen on. Development listens on this machine only.",
        example="0.0.0.0",  # noqa: S104 - an example
    )
    port: int = setting(8000, "The TCP port to listen on.", example="8080", ge=1, le=65_535)
    workers: int = setting(1, "Processes that serve requests.", example="4", ge=1, le=256)
    base_url: Origin = setting(
        description="The address under which people reach the server, without a path. Links, "
        "issuer, cookies and passkeys belong to it; in production any other host is refused.",
        example="https://login.example.com",
        follows=lambda above: f"http://localhost:{above['port']}",
        default_text="`http://localhost:<port>`",
    )
    trusted_proxies: Networks = setting(
        (),
        "Addresses and networks of reverse proxies. Forwarding headers are believed when they "
        "come from these only; `*` is refused.",
        example="10.0.0.0/8,192.0.2.7",
    )
    cors_origins: Origins = setting(
        (),
        "Exact origins whose pages may call the API, without cookies; `*` is refused.",
        example="https://app.example.com",
    )
    docs_enabled: bool = setting(
        description="Whether `/docs` and `/openapi.json` are served.",
        example="true",
        follows=lambda above: above["environment"] == "development",
        default_text="on in development, off in production",
    )
    body_limit_bytes: int = setting(
        65_536,
        "The largest request body that is read.",
        example="65536",
        unit="bytes",
        ge=4_096,
        le=16 * 1_048_576,
    )
