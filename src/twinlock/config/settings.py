"""Every setting with its default and unit; read by the composition and the command line only.

A value given in code counts first, then the environment, `.env`, the folder of secrets, and the
TOML file. A name that is no setting, and a value that is not fit for production, stop the start.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from twinlock.accounts.passwords import MAX_PASSWORD_LENGTH
from twinlock.config import values
from twinlock.config.explained import ExplainedSettings, setting, variable
from twinlock.core.errors import ConfigurationError
from twinlock.core.languages import Language
from twinlock.installation import key_file
from twinlock.sessions.policy import Lifetimes
from twinlock.throttle.policy import FamiliarFor, Limit, Rule, ThrottleRules

INSTALLATION: Final = "Installation"
SERVER: Final = "Server"
METRICS: Final = "Metrics"
PAGES: Final = "Pages"
DATABASE: Final = "Database"
KEYS: Final = "Master keys"
MAIL: Final = "Mail"
TOKENS: Final = "Tokens and sessions"
LOGINS: Final = "Logins and enrollments"
PASSKEYS: Final = "Passkeys"
PASSWORDS: Final = "Passwords"
THROTTLING: Final = "Throttling"
AUDIT: Final = "Audit"

LEAST_HASH_MEMORY_KIB: Final = 19_456
LEAST_HASH_ITERATIONS: Final = 2
_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_ZERO: Final = timedelta(0)
_SKEW: Final = timedelta(seconds=5)

Duration = Annotated[timedelta, BeforeValidator(values.read_duration)]
Origin = Annotated[str, AfterValidator(values.read_origin)]
PlainText = Annotated[str, Field(min_length=1), AfterValidator(values.read_plain_text)]
FilePath = Annotated[Path, AfterValidator(values.read_path)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(values.read_network)]
Listed = BeforeValidator(values.read_list)
Fixed = AfterValidator(tuple)


def _checked_keys(given: Sequence[SecretStr]) -> Sequence[SecretStr]:
    keys = [key_file.decode_key(key.get_secret_value()) for key in given]
    if len(set(keys)) != len(keys):
        raise ValueError("should not name one key twice")
    return given


class Settings(ExplainedSettings):
    """All settings of one installation, checked together and then fixed."""

    environment: Literal["production", "development"] = setting(
        "production",
        "Development switches on what helps on one's own machine, and listens on it only. "
        "Production refuses values that are fit for development only.",
        group=INSTALLATION,
        example="development",
    )
    data_dir: FilePath = setting(
        Path("twinlock-data"),
        "The folder of this installation: the key file and, by default, the database.",
        group=INSTALLATION,
        example="/var/lib/twinlock",
        default_text="`twinlock-data` in the working directory",
    )

    host: Annotated[str, AfterValidator(values.read_host)] = setting(
        "127.0.0.1",
        "The address to listen on. Development listens on this machine only.",
        group=SERVER,
        example="0.0.0.0",  # noqa: S104 - an example
    )
    port: int = setting(
        8000, "The TCP port to listen on.", group=SERVER, example="8080", ge=1, le=65_535
    )
    workers: int = setting(
        1, "Processes that serve requests.", group=SERVER, example="4", ge=1, le=256
    )
    base_url: Origin = setting(
        description="The address under which people reach the server, without a path. Links, "
        "issuer, cookies and passkeys belong to it; in production any other host is refused.",
        group=SERVER,
        example="https://login.example.com",
        follows=lambda above: f"http://localhost:{above['port']}",
        default_text="`http://localhost:<port>`",
    )
    trusted_proxies: Annotated[Sequence[Network], Listed, Fixed] = setting(
        (),
        "Addresses and networks of reverse proxies. Forwarding headers are believed when they "
        "come from these only; `*` is refused.",
        group=SERVER,
        example="10.0.0.0/8,192.0.2.7",
    )
    cors_origins: Annotated[Sequence[Origin], Listed, Fixed] = setting(
        (),
        "Exact origins whose pages may call the API, without cookies; `*` is refused.",
        group=SERVER,
        example="https://app.example.com",
    )
    docs_enabled: bool = setting(
        description="Whether `/docs` and `/openapi.json` are served.",
        group=SERVER,
        example="true",
        follows=lambda above: above["environment"] == "development",
        default_text="on in development, off in production",
    )
    body_limit_bytes: int = setting(
        65_536,
        "The largest request body that is read.",
        group=SERVER,
        example="65536",
        unit="bytes",
        ge=4_096,
        le=16 * 1_048_576,
    )

    metrics_port: int | None = setting(
        None,
        "The TCP port on which `twinlock serve` tells Prometheus what it counted, at `/metrics`. "
        "Needs `twinlock[metrics]`.",
        group=METRICS,
        example="9464",
        default_text="none: nothing is counted",
        ge=1,
        le=65_535,
    )
    metrics_host: Annotated[str, AfterValidator(values.read_host)] = setting(
        "127.0.0.1",
        "The address of that port. Whoever reaches it reads how many people sign in.",
        group=METRICS,
        example="10.0.0.7",
    )

    pages_enabled: bool = setting(
        True,
        "Whether the login server shows pages for people. They need the extra "
        "`twinlock[pages]`; without it there is the API alone.",
        group=PAGES,
        example="false",
    )
    default_language: Language = setting(
        "en",
        "The language of mails to whom has chosen none, and of pages for browsers that ask for "
        "none of ours.",
        group=PAGES,
        example="de",
    )
    pages_templates: FilePath | None = setting(
        None,
        "A folder whose templates stand in for those of the pages that have the same name.",
        group=PAGES,
        example="/etc/twinlock/templates",
    )
    pages_stylesheet: FilePath | None = setting(
        None,
        "A style sheet that follows the pages' own and may set any of its colours anew.",
        group=PAGES,
        example="/etc/twinlock/theme.css",
    )
    pages_contact: PlainText | None = setting(
        None,
        "Where people find help who cannot get in: an e-mail address, a web address or a "
        "telephone number. The pages for help and for errors show it.",
        group=PAGES,
        example="help@example.com",
        max_length=200,
    )
    pages_logo: FilePath | None = setting(
        None,
        "The picture in the place of the mark: SVG, PNG or WebP, shown 36 pixels high.",
        group=PAGES,
        example="/etc/twinlock/logo.svg",
    )

    database_url: Annotated[str, AfterValidator(values.read_database_url)] = setting(
        description="The database: SQLite for one machine, PostgreSQL for one or several.",
        group=DATABASE,
        example="postgresql://twinlock@db.example.com/twinlock",
        follows=lambda above: _sqlite_url(above["data_dir"]),
        default_text="`twinlock.sqlite3` in the data folder",
    )
    database_pool_size: int = setting(
        10,
        "Connections that each process keeps open at most.",
        group=DATABASE,
        example="20",
        unit="connections",
        ge=1,
        le=200,
    )

    database_pooler: bool = setting(
        False,
        "Whether a pooler in transaction mode, such as PgBouncer, stands before PostgreSQL.",
        group=DATABASE,
        example="true",
    )

    secret_keys: Annotated[
        Sequence[SecretStr],
        BeforeValidator(values.read_keys_text),
        Fixed,
        AfterValidator(_checked_keys),
    ] = setting(
        (),
        "The master keys, newest first, 32 random bytes each in base64url. When set, the key "
        "file is not read. A secrets folder suits them better than the environment.",
        group=KEYS,
        example="<newest>,<older>",
        default_text="none: the key file is read",
    )
    secret_keys_file: FilePath = setting(
        description="The key file that `twinlock init` makes: one key per line, newest first. In "
        "production it must be readable by its owner only.",
        group=KEYS,
        example="/etc/twinlock/secret.keys",
        follows=lambda above: above["data_dir"] / "secret.keys",
        default_text="`secret.keys` in the data folder",
    )

    smtp_url: Annotated[SecretStr, AfterValidator(values.read_smtp_url)] | None = setting(
        None,
        "The mail server, user and password included: `smtps://` from the first byte, `smtp://` "
        "with STARTTLS. Without it no mail is sent; in development mails become files in the data "
        "folder.",
        group=MAIL,
        example="smtps://user:password@mail.example.com",
    )

    mail_from: Annotated[str, AfterValidator(values.read_mail_from)] = setting(
        description="The sender of mails: an address, or a name and an address.",
        group=MAIL,
        example="Example <no-reply@example.com>",
        follows=lambda above: f"no-reply@{_mail_host(above['base_url'])}",
        default_text="`no-reply@<host of the base URL>`",
    )
    mail_links: Annotated[str, AfterValidator(values.read_link_base)] | None = setting(
        None,
        "What mailed links begin with, where pages of your own take them: an address, with a path "
        "if there is one.",
        group=MAIL,
        example="https://app.example.com/account",
        default_text="the base URL and the prefix of our routes, where our pages take them",
    )
    mails_24h: int = setting(
        5,
        "Mails of one kind to one account in any 24 hours; the last one is left to browsers that "
        "signed in before.",
        group=MAIL,
        example="10",
        unit="mails",
        ge=2,
        le=100,
    )
    email_codes_enabled: bool = setting(
        False,
        "Whether accounts may enroll their mailbox as a second factor. A mailbox is weaker than "
        "an authenticator app, and a sign-in with its code can be relayed.",
        group=MAIL,
        example="true",
    )
    email_codes_24h: int = setting(
        20,
        "Codes by mail for one account in any 24 hours; the last one is left to browsers that "
        "signed in before.",
        group=MAIL,
        example="10",
        unit="mails",
        ge=2,
        le=100,
    )
    email_code_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How long a mailed code may be used, if what it was sent for lives so long.",
        group=MAIL,
        example="PT5M",
        ge=_MINUTE,
        le=timedelta(minutes=10),
    )
    invitations_enabled: bool = setting(
        False,
        "Whether admins may invite people, who choose their first password by a mailed link.",
        group=MAIL,
        example="true",
    )
    invitation_lifetime: Duration = setting(
        timedelta(days=7),
        "How long an invitation may be accepted.",
        group=MAIL,
        example="P2D",
        ge=_HOUR,
        le=timedelta(days=30),
    )
    registration_enabled: bool = setting(
        False,
        "Whether everybody may make an account with an address whose mails they read.",
        group=MAIL,
        example="true",
    )
    recovery_requests_network_1h: int = setting(
        100,
        "Requests for a new password, and requests to register, from one network in any hour.",
        group=MAIL,
        example="500",
        unit="requests",
        ge=1,
        le=1_000,
    )
    recovery_link_lifetime: Duration = setting(
        timedelta(minutes=30),
        "How long a mailed link sets a forgotten password.",
        group=MAIL,
        example="PT15M",
        ge=timedelta(minutes=5),
        le=_DAY,
    )
    email_link_lifetime: Duration = setting(
        timedelta(hours=24),
        "How long a mailed link confirms or cancels a change of the e-mail address.",
        group=MAIL,
        example="PT1H",
        ge=timedelta(minutes=5),
        le=timedelta(days=7),
    )

    audience: PlainText = setting(
        description="The `aud` of access tokens.",
        group=TOKENS,
        example="https://api.example.com",
        follows=lambda above: above["base_url"],
        default_text="the base URL",
        max_length=255,
    )
    password_grant_enabled: bool = setting(
        True,
        "Whether `/token` takes a password, as the *Authorize* dialog of `/docs` sends it.",
        group=TOKENS,
        example="false",
    )
    access_token_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How long an access token lives.",
        group=TOKENS,
        example="300",
        ge=_MINUTE,
        le=_HOUR,
    )
    clock_skew: Duration = setting(
        description="How far ahead the clocks of other machines of this installation may be: a "
        "token that one of them signed is believed as much too early, and never too late.",
        group=TOKENS,
        example="PT10S",
        follows=lambda above: _ZERO if above["database_url"].startswith("sqlite") else _SKEW,
        default_text="5 s with PostgreSQL, 0 with SQLite, which has one clock",
        ge=_ZERO,
        le=timedelta(seconds=30),
    )
    refresh_idle_lifetime: Duration = setting(
        timedelta(days=14),
        "A session with a refresh token ends when the token is unused for this long.",
        group=TOKENS,
        example="P7D",
        ge=timedelta(minutes=5),
        le=timedelta(days=90),
    )
    refresh_absolute_lifetime: Duration = setting(
        timedelta(days=90),
        "A session with a refresh token ends after this long in any case.",
        group=TOKENS,
        example="P30D",
        ge=timedelta(minutes=5),
        le=timedelta(days=365),
    )
    refresh_grace: Duration = setting(
        timedelta(seconds=10),
        "How long a refresh token that was just used gives the same answer again, for a client "
        "whose reply was lost; 0 turns it off.",
        group=TOKENS,
        example="0",
        ge=timedelta(0),
        le=_MINUTE,
    )
    page_idle_lifetime: Duration = setting(
        _HOUR,
        "A session with a cookie ends when it is unused for this long.",
        group=TOKENS,
        example="PT30M",
        ge=timedelta(minutes=5),
        le=timedelta(days=7),
    )
    page_absolute_lifetime: Duration = setting(
        timedelta(hours=12),
        "A session with a cookie ends after this long in any case.",
        group=TOKENS,
        example="PT8H",
        ge=timedelta(minutes=5),
        le=timedelta(days=30),
    )
    websocket_check_interval: Duration = setting(
        timedelta(seconds=5),
        "How often a WebSocket on which nothing happens is asked whether its session still lives.",
        group=TOKENS,
        example="2",
        ge=timedelta(milliseconds=10),
        le=timedelta(seconds=9),
    )
    fresh_proof_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How old the last proof may be when factors, password or accounts are changed.",
        group=TOKENS,
        example="PT5M",
        ge=_MINUTE,
        le=_HOUR,
    )
    max_sessions: int = setting(
        50,
        "Sessions of one account; one more ends the oldest.",
        group=TOKENS,
        example="10",
        unit="sessions",
        ge=1,
        le=1_000,
    )

    pending_login_lifetime: Duration = setting(
        timedelta(minutes=5),
        "How long a login waits for its second factor.",
        group=LOGINS,
        example="PT3M",
        ge=_MINUTE,
        le=_HOUR,
    )
    enrollment_lifetime: Duration = setting(
        timedelta(minutes=10),
        "How long an enrollment waits for its confirming answer.",
        group=LOGINS,
        example="PT15M",
        ge=_MINUTE,
        le=_HOUR,
    )
    enrollment_login_lifetime: Duration = setting(
        timedelta(minutes=15),
        "How long a login waits for an enrollment, where nothing opens without one.",
        group=LOGINS,
        example="PT30M",
        ge=_MINUTE,
        le=_HOUR,
    )
    enrollment_link_lifetime: Duration = setting(
        timedelta(hours=24),
        "How long the single-use link of a factor reset may be used.",
        group=LOGINS,
        example="PT4H",
        ge=_HOUR,
        le=timedelta(days=7),
    )
    trusted_device_lifetime: Duration = setting(
        timedelta(days=30),
        "How long a trusted device stands for the second factor.",
        group=LOGINS,
        example="P7D",
        ge=_HOUR,
        le=timedelta(days=90),
    )
    max_trusted_devices: int = setting(
        10,
        "Trusted devices of one account; one more ends the trust in the oldest.",
        group=LOGINS,
        example="3",
        unit="devices",
        ge=1,
        le=50,
    )
    max_pending_logins: int = setting(
        10,
        "Logins of one account that wait for a second factor; one more ends the oldest.",
        group=LOGINS,
        example="5",
        unit="logins",
        ge=1,
        le=100,
    )
    max_answers: int = setting(
        5,
        "Wrong answers after which a login, an enrollment or a reauthentication is void.",
        group=LOGINS,
        example="3",
        unit="answers",
        ge=1,
        le=10,
    )
    service_name: Annotated[PlainText, AfterValidator(values.read_label)] = setting(
        "Twinlock",
        "The name that authenticator apps show beside the code, without a colon.",
        group=LOGINS,
        example="Example Ltd",
        max_length=64,
    )

    rp_id: Annotated[str, AfterValidator(values.read_rp_id)] | None = setting(
        description="The host name that passkeys are bound to: the base URL's, or a parent of it "
        "that all your hosts share. When it changes, all passkeys are lost.",
        group=PASSKEYS,
        example="example.com",
        follows=lambda above: _rp_id(above["base_url"]),
        default_text="the host of the base URL; no passkeys where that is an address",
    )
    rp_origins: Annotated[Sequence[Origin], Listed, Fixed] = setting(
        (),
        "Exact origins, beside the base URL, whose pages may use passkeys; each on the host that "
        "passkeys are bound to, or below it.",
        group=PASSKEYS,
        example="https://app.example.com",
    )

    password_min_length: int = setting(
        8,
        "The shortest password; 15 is advised where no second factor is demanded.",
        group=PASSWORDS,
        example="15",
        unit="characters",
        ge=8,
        le=64,
    )
    password_max_length: int = setting(
        MAX_PASSWORD_LENGTH,
        "The longest password that may be chosen.",
        group=PASSWORDS,
        example="256",
        unit="characters",
        ge=64,
        le=MAX_PASSWORD_LENGTH,
    )
    blocked_password_words: Annotated[Sequence[PlainText], Listed, Fixed] = setting(
        (),
        "Words that no password may consist of, such as the name of the service; common passwords "
        "are refused anyway.",
        group=PASSWORDS,
        example="acme,rocket",
    )
    breached_passwords_url: Annotated[str, AfterValidator(values.read_service_url)] | None = (
        setting(
            None,
            "A service that is asked whether a new password was seen in a breach (k-anonymity): "
            "the address to which a slash and the first five characters of the password's SHA-1 "
            "are added. Where it does not answer within two seconds, the list in the package has "
            "to do.",
            group=PASSWORDS,
            example="https://api.pwnedpasswords.com/range",
            default_text="none is asked",
        )
    )
    hash_memory_kib: int = setting(
        LEAST_HASH_MEMORY_KIB,
        "Memory of one Argon2id hash; less than the default in development only.",
        group=PASSWORDS,
        example="65536",
        unit="KiB",
        ge=64,
        le=262_144,
    )
    hash_iterations: int = setting(
        LEAST_HASH_ITERATIONS,
        "Passes of one Argon2id hash; less than the default in development only.",
        group=PASSWORDS,
        example="3",
        unit="passes",
        ge=1,
        le=20,
    )
    hash_parallelism: int = setting(
        1, "Lanes of one Argon2id hash.", group=PASSWORDS, example="1", ge=1, le=16
    )
    hash_threads: int = setting(
        description="Hashes that one process computes at once.",
        group=PASSWORDS,
        example="2",
        unit="threads",
        follows=lambda above: max(1, _cores() // above["workers"]),
        default_text="the cores, divided among the workers",
        ge=1,
        le=256,
    )
    hash_waiting_per_thread: int = setting(
        32,
        "Password steps that may wait for each of these threads; one more is answered with 503.",
        group=PASSWORDS,
        example="16",
        unit="steps",
        ge=1,
        le=1_024,
    )

    second_factor_tries_5min: int = setting(
        5,
        "Second-factor answers that one account may give in any 5 minutes.",
        group=THROTTLING,
        example="3",
        unit="answers",
        ge=1,
        le=10,
    )
    second_factor_tries_1h: int = setting(
        20,
        "Second-factor answers that one account may give in any hour.",
        group=THROTTLING,
        example="10",
        unit="answers",
        ge=2,
        le=50,
    )
    second_factor_tries_24h: int = setting(
        50,
        "Second-factor answers that one account may give in any 24 hours.",
        group=THROTTLING,
        example="25",
        unit="answers",
        ge=3,
        le=100,
    )
    password_tries_account_network_10min: int = setting(
        10,
        "Wrong passwords for one account from one network in any 10 minutes.",
        group=THROTTLING,
        example="5",
        unit="passwords",
        ge=1,
        le=100,
    )
    password_tries_network_1h: int = setting(
        100,
        "Wrong passwords from one network in any hour; raise it where many people share one.",
        group=THROTTLING,
        example="500",
        unit="passwords",
        ge=1,
        le=1_000,
    )
    password_tries_strangers_24h: int = setting(
        100,
        "Wrong passwords for one account from all strangers in any 24 hours; then they share one "
        "try a minute.",
        group=THROTTLING,
        example="50",
        unit="passwords",
        ge=1,
        le=1_000,
    )
    password_tries_known_browser_10min: int = setting(
        10,
        "Wrong passwords from a browser that signed in before, in any 10 minutes.",
        group=THROTTLING,
        example="5",
        unit="passwords",
        ge=1,
        le=100,
    )
    passkey_tries_network_1h: int = setting(
        100,
        "Wrong answers of passkeys without a password from one network in any hour.",
        group=THROTTLING,
        example="500",
        unit="answers",
        ge=1,
        le=1_000,
    )
    known_browser_lifetime: Duration = setting(
        timedelta(days=180),
        "How long a browser that signed in is known, and counted apart from strangers.",
        group=THROTTLING,
        example="P90D",
        ge=_DAY,
        le=timedelta(days=400),
    )
    familiar_network_lifetime: Duration = setting(
        timedelta(days=30),
        "How long a network that was signed in from is no stranger to the account.",
        group=THROTTLING,
        example="P14D",
        ge=_DAY,
        le=timedelta(days=400),
    )

    event_retention: Duration = setting(
        timedelta(days=400),
        "How long audit events are kept.",
        group=AUDIT,
        example="P90D",
        ge=_DAY,
        le=timedelta(days=3_650),
    )

    @property
    def is_production(self) -> bool:
        """Whether values fit for development only are refused."""
        return self.environment == "production"

    def passkey_origins(self) -> tuple[str, ...]:
        """Return the origins whose pages may use passkeys."""
        return tuple(dict.fromkeys((self.base_url, *self.rp_origins)))

    def lifetimes(self) -> Lifetimes:
        """Return the lifetimes and caps of sessions and of what waits for an answer."""
        return Lifetimes(
            refresh_idle=self.refresh_idle_lifetime,
            refresh_absolute=self.refresh_absolute_lifetime,
            page_idle=self.page_idle_lifetime,
            page_absolute=self.page_absolute_lifetime,
            access_token=self.access_token_lifetime,
            refresh_grace=self.refresh_grace,
            pending_login=self.pending_login_lifetime,
            enrollment=self.enrollment_lifetime,
            enrollment_login=self.enrollment_login_lifetime,
            enrollment_link=self.enrollment_link_lifetime,
            email_code=self.email_code_lifetime,
            invitation_link=self.invitation_lifetime,
            fresh=self.fresh_proof_lifetime,
            trusted_device=self.trusted_device_lifetime,
            max_devices=self.max_trusted_devices,
            recovery_link=self.recovery_link_lifetime,
            email_link=self.email_link_lifetime,
            max_sessions=self.max_sessions,
            max_pending=self.max_pending_logins,
            max_answers=self.max_answers,
        )

    def throttle_rules(self) -> ThrottleRules:
        """Return how many tries are let through."""
        second_factor = (
            self.second_factor_tries_5min,
            self.second_factor_tries_1h,
            self.second_factor_tries_24h,
        )
        rules = ThrottleRules()
        return ThrottleRules(
            second_factor=_with_tries(rules.second_factor, *second_factor),
            second_factor_decoy=_with_tries(rules.second_factor_decoy, *second_factor),
            password_network=_with_tries(rules.password_network, self.password_tries_network_1h),
            password_account_network=_with_tries(
                rules.password_account_network, self.password_tries_account_network_10min
            ),
            password_strangers=_with_tries(
                rules.password_strangers, self.password_tries_strangers_24h
            ),
            password_known_browser=_with_tries(
                rules.password_known_browser, self.password_tries_known_browser_10min
            ),
            passkey_network=_with_tries(rules.passkey_network, self.passkey_tries_network_1h),
            mails=_with_tries(rules.mails, self.mails_24h),
            mails_for_strangers=_with_tries(rules.mails_for_strangers, self.mails_24h - 1),
            mailed_codes=_with_tries(rules.mailed_codes, self.email_codes_24h),
            mailed_codes_for_strangers=_with_tries(
                rules.mailed_codes_for_strangers, self.email_codes_24h - 1
            ),
            recovery_network=_with_tries(rules.recovery_network, self.recovery_requests_network_1h),
            familiar_for=FamiliarFor(
                network=self.familiar_network_lifetime, browser=self.known_browser_lifetime
            ),
        )

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Give what each setting allows and all together do not: a name and a predicate each."""
        if self.refresh_idle_lifetime > self.refresh_absolute_lifetime:
            longest = variable("refresh_absolute_lifetime")
            yield "refresh_idle_lifetime", f"should not be longer than {longest}"
        if self.page_idle_lifetime > self.page_absolute_lifetime:
            longest = variable("page_absolute_lifetime")
            yield "page_idle_lifetime", f"should not be longer than {longest}"
        if not self.second_factor_tries_5min < self.second_factor_tries_1h:
            shorter = variable("second_factor_tries_5min")
            yield "second_factor_tries_1h", f"should be greater than {shorter}"
        if not self.second_factor_tries_1h < self.second_factor_tries_24h:
            shorter = variable("second_factor_tries_1h")
            yield "second_factor_tries_24h", f"should be greater than {shorter}"
        yield from self._misfits_of_passkeys()
        if self.hash_memory_kib < 8 * self.hash_parallelism:
            yield "hash_memory_kib", "should be 8 KiB or more for each lane (RFC 9106 section 3.1)"
        if self.is_production:
            yield from self._unfit_for_production()
        elif self.host != "localhost" and not values.is_loopback_address(self.host):
            here = "127.0.0.1, ::1 or localhost"
            yield "host", f"should be {here}: development listens on this machine only"

    def _misfits_of_passkeys(self) -> Iterator[tuple[str, str]]:
        """Give what no browser would accept (WebAuthn Level 3 section 5.1.3 step 8)."""
        if self.rp_id is None:
            return
        host = values.host_of(self.base_url)
        if not values.is_below(host, self.rp_id):
            yield "rp_id", f"should be the host of {variable('base_url')}, or a parent of it"
        elif self.rp_id != host and "." not in self.rp_id:
            yield "rp_id", "should not be a whole top-level domain"
        for origin in self.rp_origins:
            if not values.is_below(values.host_of(origin), self.rp_id):
                yield "rp_origins", f"should be on the host of {variable('rp_id')}, or below it"
            elif origin.startswith("http:") and not values.is_loopback(self.rp_id):
                yield "rp_origins", "should begin with https://, but for this machine"

    def _unfit_for_production(self) -> Iterator[tuple[str, str]]:
        is_local = values.is_loopback(values.host_of(self.base_url))
        if self.base_url.startswith("http:") and not is_local:
            yield "base_url", "should begin with https:// in production, but for this machine"
        links = urlsplit(self.mail_links or "")
        if links.scheme == "http" and not values.is_loopback(links.hostname or ""):
            yield "mail_links", "should begin with https:// in production, but for this machine"
        if self.hash_memory_kib < LEAST_HASH_MEMORY_KIB:
            yield "hash_memory_kib", f"should be {LEAST_HASH_MEMORY_KIB} or more in production"
        if self.hash_iterations < LEAST_HASH_ITERATIONS:
            yield "hash_iterations", f"should be {LEAST_HASH_ITERATIONS} or more in production"
        for name in ("email_codes_enabled", "invitations_enabled", "registration_enabled"):
            if getattr(self, name) and self.smtp_url is None:
                yield name, f"should be off without {variable('smtp_url')}"

    def warnings(self) -> Iterator[str]:
        """Give what is allowed and yet likely a mistake, a sentence or two each."""
        base_host = values.host_of(self.base_url)
        is_local = values.is_loopback(base_host)
        is_open = self.host != "localhost" and not values.is_loopback_address(self.host)
        if values.is_address(base_host) and not is_local:
            yield "TWINLOCK_BASE_URL names an address. Passkeys need a host name."
        if is_local and is_open:
            yield (
                "TWINLOCK_HOST is open to the network, but TWINLOCK_BASE_URL names this machine. "
                "Requests for any other host are refused."
            )
        if self.base_url.startswith("https:") and not self.trusted_proxies:
            yield (
                "TWINLOCK_TRUSTED_PROXIES is empty. Behind a reverse proxy all visitors count as "
                "one network, and lock each other out."
            )
        if self.is_production and self.smtp_url is None:
            yield (
                "TWINLOCK_SMTP_URL is not set, so no mail is sent. Nobody can replace a forgotten "
                "password or verify an address, and nobody hears of what happens to an account."
            )
        if self.secret_keys and self.secret_keys_file.exists():
            yield f"TWINLOCK_SECRET_KEYS is set. The key file {self.secret_keys_file} is not read."


def load_master_keys(settings: Settings) -> list[bytes]:
    """Return the master keys, newest first; never makes any.

    Raises:
        NotInitializedError: No keys are set and there is no key file.
        ConfigurationError: The key file is open to others or holds no usable keys, or a key is
            text or a pattern in production.
        InstallationError: The key file cannot be read.
    """
    path = settings.secret_keys_file
    if settings.secret_keys:
        keys = [key_file.decode_key(key.get_secret_value()) for key in settings.secret_keys]
    else:
        keys = key_file.read_keys(path, must_be_private=settings.is_production)
    if settings.is_production and any(map(key_file.is_guessable, keys)):
        place = variable("secret_keys") if settings.secret_keys else f"The key file {path}"
        raise ConfigurationError(
            f"{place} holds text or a pattern instead of random bytes. Production needs keys that "
            "nobody can guess: let `twinlock init` make them."
        )
    return keys


def _mail_host(base_url: str) -> str:
    """Return the host for an e-mail address, IPv6 as RFC 5321 section 4.1.3 spells it."""
    host = values.host_of(base_url)
    return f"[IPv6:{host}]" if ":" in host else host


def _rp_id(base_url: str) -> str | None:
    host = values.host_of(base_url)
    return None if values.is_address(host) else host


def _sqlite_url(folder: Path) -> str:
    return "sqlite:///" + quote(str(folder / "twinlock.sqlite3"))


def _with_tries(rule: Rule, *tries: int) -> Rule:
    limits = zip(tries, rule.limits, strict=True)
    return replace(rule, limits=tuple(Limit(count, limit.window) for count, limit in limits))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
