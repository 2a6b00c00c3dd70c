"""Settings: where they come from, what is refused, and that nothing secret shows."""

import json
import os
import traceback
from dataclasses import fields, replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy.engine import make_url

from twinlock.config.explained import variable
from twinlock.config.settings import Settings, load_master_keys
from twinlock.core.errors import ConfigurationError, NotInitializedError
from twinlock.core.keyring import Keyring
from twinlock.core.secrets import random_bytes, to_base64url
from twinlock.installation.key_file import create_key_file
from twinlock.sessions.policy import Lifetimes
from twinlock.throttle.policy import Rule, ThrottleRules

PASSWORD = "correct-horse-battery"
OLDER, NEWER = bytes(range(100, 132)), bytes(range(200, 232))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory and an environment without our variables."""
    for name in os.environ:
        if name.upper().startswith("TWINLOCK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def refusal(**given: object) -> str:
    """Return what the operator is told when settings are refused."""
    with pytest.raises(ConfigurationError) as refused:
        Settings.model_validate(given)
    return str(refused.value)


# Defaults


def test_what_the_contract_promises_without_any_setting(folder: Path) -> None:
    settings = Settings()

    assert settings.environment == "production"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.base_url == settings.audience == "http://localhost:8000"
    assert settings.database_url == f"sqlite:///{folder}/twinlock-data/twinlock.sqlite3"
    assert settings.secret_keys_file == folder / "twinlock-data" / "secret.keys"
    assert not [*settings.trusted_proxies, *settings.cors_origins, *settings.secret_keys]
    assert settings.smtp_url is None
    assert settings.breached_passwords_url is None
    assert (settings.hash_memory_kib, settings.hash_iterations) == (19 * 1024, 2)
    assert settings.body_limit_bytes == 64 * 1024
    assert (settings.password_min_length, settings.password_max_length) == (8, 1024)


def test_the_names_in_the_contract_are_settings() -> None:
    promised = {
        "TWINLOCK_DATABASE_URL",
        "TWINLOCK_DATA_DIR",
        "TWINLOCK_BASE_URL",
        "TWINLOCK_SECRET_KEYS",
        "TWINLOCK_SECRET_KEYS_FILE",
        "TWINLOCK_SMTP_URL",
        "TWINLOCK_AUDIENCE",
        "TWINLOCK_CORS_ORIGINS",
        "TWINLOCK_HOST",
        "TWINLOCK_PORT",
        "TWINLOCK_WORKERS",
        "TWINLOCK_TRUSTED_PROXIES",
        "TWINLOCK_ENVIRONMENT",
    }

    assert promised <= Settings().masked().keys()


def test_the_defaults_of_sessions_and_throttling_are_those_of_their_blocks() -> None:
    settings = Settings()

    assert settings.lifetimes() == Lifetimes()
    assert settings.throttle_rules() == ThrottleRules()


def test_every_lifetime_and_cap_can_be_set() -> None:
    settings = Settings(
        refresh_idle_lifetime=timedelta(days=1),
        refresh_absolute_lifetime=timedelta(days=2),
        page_idle_lifetime=timedelta(minutes=6),
        page_absolute_lifetime=timedelta(minutes=7),
        access_token_lifetime=timedelta(minutes=2),
        refresh_grace=timedelta(seconds=3),
        pending_login_lifetime=timedelta(minutes=4),
        enrollment_lifetime=timedelta(minutes=8),
        fresh_proof_lifetime=timedelta(minutes=9),
        max_sessions=11,
        max_pending_logins=12,
        max_answers=1,
        enrollment_login_lifetime=timedelta(minutes=6),
        enrollment_link_lifetime=timedelta(hours=3),
        recovery_link_lifetime=timedelta(minutes=11),
        email_link_lifetime=timedelta(hours=4),
        email_code_lifetime=timedelta(minutes=3),
        invitation_lifetime=timedelta(days=2),
        trusted_device_lifetime=timedelta(days=3),
        max_trusted_devices=4,
    )

    lifetimes = settings.lifetimes()

    assert not [
        field.name
        for field in fields(Lifetimes)
        if getattr(lifetimes, field.name) == getattr(Lifetimes(), field.name)
    ]
    assert lifetimes.refresh_idle < lifetimes.refresh_absolute
    assert lifetimes.page_idle < lifetimes.page_absolute
    assert (lifetimes.max_sessions, lifetimes.max_pending, lifetimes.max_answers) == (11, 12, 1)
    assert (lifetimes.pending_login, lifetimes.enrollment) == (
        timedelta(minutes=4),
        timedelta(minutes=8),
    )


def test_what_is_familiar_can_be_set() -> None:
    settings = Settings(
        known_browser_lifetime=timedelta(days=7), familiar_network_lifetime=timedelta(days=1)
    )

    familiar = settings.throttle_rules().familiar_for

    assert (familiar.network, familiar.browser) == (timedelta(days=1), timedelta(days=7))


def test_every_throttle_rule_can_be_set_and_keeps_its_window() -> None:
    settings = Settings(
        second_factor_tries_5min=2,
        second_factor_tries_1h=3,
        second_factor_tries_24h=4,
        password_tries_account_network_10min=5,
        password_tries_network_1h=6,
        password_tries_strangers_24h=7,
        password_tries_known_browser_10min=8,
        passkey_tries_network_1h=9,
        mails_24h=3,
        email_codes_24h=11,
        recovery_requests_network_1h=10,
    )

    rules = settings.throttle_rules()

    tries = {
        field.name: [limit.max_tries for limit in getattr(rules, field.name).limits]
        for field in fields(ThrottleRules)
        if isinstance(getattr(rules, field.name), Rule)
    }
    assert tries == {
        "second_factor": [2, 3, 4],
        "second_factor_decoy": [2, 3, 4],
        "password_account_network": [5],
        "password_network": [6],
        "password_strangers": [7],
        "password_known_browser": [8],
        "passkey_network": [9],
        "mailed_codes": [11],
        "mailed_codes_for_strangers": [10],
        "mails": [3],
        "mails_for_strangers": [2],
        "recovery_network": [10],
    }
    default = ThrottleRules()
    assert [
        replace(getattr(rules, name), limits=getattr(default, name).limits) for name in tries
    ] == [getattr(default, name) for name in tries]
    assert [limit.window for limit in rules.second_factor.limits] == [
        limit.window for limit in default.second_factor.limits
    ]


@pytest.mark.parametrize("folder_name", ["with space", "q?u#e%20stion", "ümlaut"])
def test_the_database_lies_in_the_data_folder_whatever_its_name(
    folder: Path, folder_name: str
) -> None:
    settings = Settings(data_dir=Path(folder_name))

    assert make_url(settings.database_url).database == str(
        folder / folder_name / "twinlock.sqlite3"
    )


def test_paths_stay_the_same_when_the_working_directory_changes(
    folder: Path, environ: pytest.MonkeyPatch
) -> None:
    environ.setenv("TWINLOCK_DATA_DIR", "here")
    settings = Settings()

    environ.chdir("/")

    assert settings.data_dir == folder / "here"


def test_settings_cannot_be_changed_afterwards() -> None:
    settings = Settings()

    with pytest.raises(ValidationError):
        settings.port = 1


@pytest.mark.parametrize("environment, has_docs", [("production", False), ("development", True)])
def test_the_api_docs_are_on_in_development_only(environment: str, has_docs: bool) -> None:
    settings = Settings.model_validate({"environment": environment})

    assert settings.docs_enabled is has_docs
    assert Settings(docs_enabled=True).docs_enabled is True


def test_a_hash_thread_per_core_is_shared_out_among_the_workers() -> None:
    alone = Settings()
    crowded = Settings(workers=256)

    assert alone.hash_threads >= 1
    assert crowded.hash_threads == 1


# Sources


def test_code_counts_before_environment_before_env_file_before_secrets_before_toml(
    folder: Path, environ: pytest.MonkeyPatch
) -> None:
    (folder / "twinlock.toml").write_text(
        "port = 1\nworkers = 1\nmax_answers = 1\nmax_sessions = 1\nbody_limit_bytes = 5001\n"
    )
    secrets = folder / "secrets"
    secrets.mkdir()
    for name in ("TWINLOCK_PORT", "twinlock_workers", "twinlock_max_answers"):
        (secrets / name).write_text("2\n")
    (secrets / "twinlock_max_sessions").write_text("2\n")
    environ.setenv("TWINLOCK_SECRETS_DIR", str(secrets))
    (folder / ".env").write_text(
        "TWINLOCK_PORT=3\nTWINLOCK_WORKERS=3\nexport TWINLOCK_MAX_ANSWERS='3'\n"
    )
    environ.setenv("TWINLOCK_PORT", "4")
    environ.setenv("TWINLOCK_WORKERS", "4")

    settings = Settings(port=5)

    shown = settings.masked()
    assert [
        (shown[name].value, shown[name].source)
        for name in (
            "TWINLOCK_PORT",
            "TWINLOCK_WORKERS",
            "TWINLOCK_MAX_ANSWERS",
            "TWINLOCK_MAX_SESSIONS",
            "TWINLOCK_BODY_LIMIT_BYTES",
            "TWINLOCK_HOST",
        )
    ] == [
        (5, "code"),
        (4, "the environment"),
        (3, ".env"),
        (2, "the secrets folder"),
        (5001, "twinlock.toml"),
        ("127.0.0.1", "default"),
    ]


def test_a_toml_file_may_lie_elsewhere(folder: Path, environ: pytest.MonkeyPatch) -> None:
    (folder / "twinlock.toml").write_text("port = 1")
    elsewhere = folder / "elsewhere.toml"
    elsewhere.write_text(
        'port = 2\ncors_origins = ["https://a.example", "https://b.example"]\n'
        'access_token_lifetime = "PT5M"\nrefresh_grace = 3\ndocs_enabled = true\n'
    )
    environ.setenv("TWINLOCK_CONFIG_FILE", str(elsewhere))

    settings = Settings()

    assert settings.port == 2
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.access_token_lifetime == timedelta(minutes=5)
    assert settings.refresh_grace == timedelta(seconds=3)
    assert settings.docs_enabled


def test_an_env_file_may_be_shared_with_the_host_application(folder: Path) -> None:
    (folder / ".env").write_text("DATABASE_URL=postgresql://host\nPORT=1\nTWINLOCK_PORT=2\n")

    assert Settings().port == 2


def test_an_empty_variable_counts_as_not_set(folder: Path, environ: pytest.MonkeyPatch) -> None:
    """Compose files write ``${NAME:-}``."""
    environ.setenv("TWINLOCK_PORT", "")
    environ.setenv("TWINLOCK_SMTP_URL", "")
    environ.setenv("TWINLOCK_SECRETS_DIR", "secrets")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "twinlock_host").write_text("\n")
    (folder / ".env").write_text("TWINLOCK_PORT=3\nTWINLOCK_WORKERS\n")

    settings = Settings()

    assert (settings.port, settings.workers, settings.smtp_url) == (3, 1, None)
    assert settings.host == "127.0.0.1"


def test_names_are_found_in_small_letters_too(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("twinlock_port", "9")

    assert Settings().port == 9


def test_a_secrets_folder_is_mounted_with_links_and_strange_files(
    folder: Path, environ: pytest.MonkeyPatch
) -> None:
    """Kubernetes mounts a secret as links into a hidden folder."""
    hidden = folder / "secrets" / "..data"
    hidden.mkdir(parents=True)
    (hidden / "twinlock_smtp_url").write_text(f"smtps://me:{PASSWORD}@mail.example\n")
    (folder / "secrets" / "twinlock_smtp_url").symlink_to(hidden / "twinlock_smtp_url")
    (folder / "secrets" / "another_service").write_bytes(b"\xff")
    environ.setenv("TWINLOCK_SECRETS_DIR", str(folder / "secrets"))

    settings = Settings()

    assert settings.smtp_url is not None
    assert settings.smtp_url.get_secret_value() == f"smtps://me:{PASSWORD}@mail.example"


def test_the_service_links_of_kubernetes_are_no_settings(environ: pytest.MonkeyPatch) -> None:
    """A service named `twinlock` or `twinlock-db` writes variables that begin like ours."""
    for name, value in {
        "TWINLOCK_SERVICE_HOST": "10.0.0.1",
        "TWINLOCK_SERVICE_PORT": "8000",
        "TWINLOCK_SERVICE_PORT_HTTP": "8000",
        "TWINLOCK_PORT": "tcp://10.0.0.1:8000",
        "TWINLOCK_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "TWINLOCK_PORT_8000_TCP_ADDR": "10.0.0.1",
        "TWINLOCK_DB_PORT": "tcp://10.0.0.2:5432",
        "TWINLOCK_DB_SERVICE_HOST": "10.0.0.2",
    }.items():
        environ.setenv(name, value)

    assert Settings().port == 8000


# What stops the start


@pytest.mark.parametrize(
    "source, written, told",
    [
        ("environment", "TWINLOCK_BASE_ULR", "TWINLOCK_BASE_ULR (from the environment)"),
        ("environment", "twinlock_base_ulr", "twinlock_base_ulr (from the environment)"),
        (".env", "TWINLOCK_BASE_ULR=x", "TWINLOCK_BASE_ULR (from .env)"),
        ("secrets", "twinlock_base_ulr", "twinlock_base_ulr (from the secrets folder)"),
        ("toml", 'base_ulr = "x"', "base_ulr (from twinlock.toml)"),
        ("code", "base_ulr", "TWINLOCK_BASE_ULR (from code)"),
    ],
)
def test_an_unknown_name_stops_the_start_with_the_name_that_was_meant(
    folder: Path, environ: pytest.MonkeyPatch, source: str, written: str, told: str
) -> None:
    given = {}
    match source:
        case "environment":
            environ.setenv(written, "x")
        case ".env":
            (folder / ".env").write_text(written)
        case "secrets":
            (folder / "secrets").mkdir()
            (folder / "secrets" / written).write_text("x")
            environ.setenv("TWINLOCK_SECRETS_DIR", "secrets")
        case "toml":
            (folder / "twinlock.toml").write_text(written)
        case _:
            given[written] = "x"

    assert f"{told} is not a setting (did you mean TWINLOCK_BASE_URL?)." in refusal(**given)


def test_a_name_that_resembles_nothing_gets_no_suggestion(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("TWINLOCK_XYZZY", "x")

    assert "TWINLOCK_XYZZY (from the environment) is not a setting." in refusal()


@pytest.mark.parametrize(
    "variable_name, value, told",
    [
        ("TWINLOCK_SECRETS_DIR", "nowhere", "TWINLOCK_SECRETS_DIR (from the environment) names no"),
        ("TWINLOCK_CONFIG_FILE", "nowhere", "TWINLOCK_CONFIG_FILE (from the environment) names no"),
        ("TWINLOCK_CONFIG_FILE", ".", "cannot be read as TOML"),
    ],
)
def test_a_source_that_is_named_must_exist(
    environ: pytest.MonkeyPatch, variable_name: str, value: str, told: str
) -> None:
    environ.setenv(variable_name, value)

    assert told in refusal()


@pytest.mark.parametrize(
    "content, told",
    [
        (f'port = 1\nsmtp_url = {PASSWORD}"'.encode(), "is not TOML (at line 2, column"),
        (b"port = \xff", "cannot be read as TOML in UTF-8"),
        (b"[server]\nport = 1", "server (from twinlock.toml) is not a setting"),
        (b"port = nan", "TWINLOCK_PORT (from twinlock.toml) should be"),
        (b"refresh_grace = inf", "TWINLOCK_REFRESH_GRACE (from twinlock.toml) should be"),
        (b"cors_origins = [1]", "TWINLOCK_CORS_ORIGINS (from twinlock.toml) should be"),
    ],
)
def test_a_broken_toml_file_says_where_and_repeats_nothing(
    folder: Path, content: bytes, told: str
) -> None:
    (folder / "twinlock.toml").write_bytes(content)

    message = refusal()

    assert told in message
    assert PASSWORD not in message


@pytest.mark.parametrize("name", [".env", "secrets/twinlock_smtp_url"])
def test_text_that_is_not_utf8_is_reported(
    folder: Path, environ: pytest.MonkeyPatch, name: str
) -> None:
    (folder / "secrets").mkdir()
    (folder / name).write_bytes(b"TWINLOCK_SMTP_URL=\xff")
    environ.setenv("TWINLOCK_SECRETS_DIR", "secrets")

    assert "cannot be read (UnicodeDecodeError)" in refusal()


def test_where_the_sources_are_is_said_by_the_environment_only(folder: Path) -> None:
    (folder / ".env").write_text("TWINLOCK_CONFIG_FILE=other.toml\n")

    assert "TWINLOCK_CONFIG_FILE (from .env) is read from the process environment" in refusal()


@pytest.mark.skipif(os.name == "nt", reason="variables have one case there")
def test_one_name_in_two_spellings_is_refused(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("twinlock_port", "1")
    environ.setenv("TWINLOCK_PORT", "2")

    assert "TWINLOCK_PORT (from the environment) is given twice" in refusal()


REFUSED = [
    ("environment", "staging", "should be 'production' or 'development'"),
    ("port", "0", "should be greater than or equal to 1"),
    ("port", "65536", "should be less than or equal to 65535"),
    ("port", "http", "should be a valid integer"),
    ("workers", "0", "should be greater"),
    ("host", "127.0.0.1:8000", "should be an address or a host name"),
    ("host", "http://localhost", "should be an address or a host name"),
    ("host", "300.1.1.1", "should be an address or a host name"),
    ("base_url", "https://user@login.example.com", "nothing after it"),
    ("base_url", "https://login.example.com/auth", "nothing after it"),
    ("base_url", "https://login.example.com?x=1", "nothing after it"),
    ("base_url", "https://login.example.com#x", "nothing after it"),
    ("base_url", "https://lögin.example.com", "xn--"),
    ("base_url", "ftp://login.example.com", "should be https://"),
    ("base_url", "https://login.example.com:0", "port that does not exist"),
    ("base_url", "https://login.example.com:70000", "port that does not exist"),
    ("base_url", "https://300.1.1.1", "address that does not exist"),
    ("base_url", "https://[::zz]", "should be https://"),
    ("base_url", "login.example.com", "should be https://"),
    ("base_url", "https://", "should be https://"),
    ("cors_origins", "*", "should be https://"),
    ("cors_origins", "null", "should be https://"),
    ("cors_origins", "https://a.example,https://*.example", "should be https://"),
    ("cors_origins", "[1", "should be a JSON list"),
    ("trusted_proxies", "*", "anyone could say who they are"),
    ("trusted_proxies", "0.0.0.0/0", "anyone could say who they are"),
    ("trusted_proxies", "10.0.0.1,::/0", "anyone could say who they are"),
    ("trusted_proxies", "10.0.0.1/8", "should list addresses or networks"),
    ("trusted_proxies", "proxy.example", "should list addresses or networks"),
    ("database_url", "mysql://localhost/x", "should begin with sqlite:/// or postgresql://"),
    ("database_url", "twinlock.sqlite3", "should begin with sqlite:/// or postgresql://"),
    ("smtp_url", "mail.example.com", "should begin with smtp:// or smtps://"),
    ("smtp_url", "https://mail.example.com", "should begin with smtp:// or smtps://"),
    ("mail_links", "https://app.example.com/a?b=c", "should be an address such as"),
    ("mail_links", "https://app.example.com/ü", "should be an address such as"),
    ("mail_links", "//app.example.com", "should be https://"),
    ("breached_passwords_url", "http://pwned.example/range", "should begin with https://"),
    ("breached_passwords_url", "https://pwned.example/range?x", "should be an address such as"),
    ("mail_links", "http://app.example.com", "should begin with https:// in production"),
    ("secret_keys", "short", "should hold keys of 32 random bytes"),
    ("secret_keys", to_base64url(OLDER[:31]), "should hold keys of 32 random bytes"),
    ("secret_keys", f"{to_base64url(OLDER)} {to_base64url(OLDER)}=", "one key twice"),
    ("audience", "a\tb", "without line breaks and control characters"),
    ("service_name", "Example: login", "should not hold a colon"),
    ("service_name", "x" * 65, "at most 64 characters"),
    ("access_token_lifetime", "59", "should be greater than or equal to 1 minute"),
    ("access_token_lifetime", "3601", "should be less than or equal to 1 hour"),
    ("access_token_lifetime", "10:00", "should be a number of seconds, or an ISO 8601"),
    ("access_token_lifetime", "P1M", "should be a number of seconds, or an ISO 8601"),
    ("access_token_lifetime", "P", "should be a number of seconds, or an ISO 8601"),
    ("access_token_lifetime", "PT", "should be a number of seconds, or an ISO 8601"),
    ("access_token_lifetime", "-PT5M", "should be a number of seconds, or an ISO 8601"),
    ("refresh_grace", "61", "should be less than or equal to 1 minute"),
    ("refresh_idle_lifetime", "P91D", "should be less than"),
    ("password_min_length", "7", "should be greater than or equal to 8"),
    ("password_max_length", "63", "should be greater than or equal to 64"),
    ("password_max_length", "1025", "should be less than or equal to 1024"),
    ("hash_memory_kib", "19455", "should be 19456 or more in production"),
    ("hash_iterations", "1", "should be 2 or more in production"),
    ("hash_parallelism", "0", "should be greater"),
    ("hash_memory_kib", "262145", "should be less than"),
    ("docs_enabled", "perhaps", "should be a valid boolean"),
    ("body_limit_bytes", "4095", "should be greater"),
    ("second_factor_tries_5min", "20", "should be less than or equal to 10"),
    ("second_factor_tries_1h", "5", "should be greater than TWINLOCK_SECOND_FACTOR_TRIES_5MIN"),
    ("second_factor_tries_24h", "20", "should be greater than TWINLOCK_SECOND_FACTOR_TRIES_1H"),
]


@pytest.mark.parametrize("name, value, told", REFUSED, ids=lambda part: str(part)[:40])
def test_a_wrong_value_is_told_by_name_with_an_example(
    environ: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    environ.setenv(variable(name), value)

    message = refusal()

    line = message.splitlines()[1]
    assert line.startswith(f"  {variable(name)} (from the environment) ")
    assert told in line
    assert f"Example: {variable(name)}=" in line


def test_everything_that_is_wrong_is_told_at_once_and_once(environ: pytest.MonkeyPatch) -> None:
    environ.setenv("TWINLOCK_PORT", "x")
    environ.setenv("TWINLOCK_CORS_ORIGINS", "*,null")
    environ.setenv("TWINLOCK_WROKERS", "2")

    lines = refusal().splitlines()[1:]

    assert sorted(line.split()[0] for line in lines) == [
        "TWINLOCK_CORS_ORIGINS",
        "TWINLOCK_PORT",
        "TWINLOCK_WROKERS",
    ]


@pytest.mark.parametrize(
    "given, told",
    [
        ({"base_url": "http://login.example.com"}, "TWINLOCK_BASE_URL"),
        ({"base_url": "http://192.0.2.1:8000"}, "TWINLOCK_BASE_URL"),
        ({"hash_memory_kib": 64}, "TWINLOCK_HASH_MEMORY_KIB"),
        ({"hash_iterations": 1}, "TWINLOCK_HASH_ITERATIONS"),
    ],
)
def test_production_refuses_what_development_may_have(given: dict[str, object], told: str) -> None:
    Settings.model_validate({**given, "environment": "development"})

    assert f"{told} (from code) should" in refusal(**given)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://localhost",
        "http://app.localhost:8000",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "https://login.example.com",
    ],
)
def test_production_takes_https_or_this_machine(base_url: str) -> None:
    assert Settings(base_url=base_url).base_url == base_url


@pytest.mark.parametrize(
    "host, is_refused",
    [
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.1", True),
        ("localhost.example.com", True),
        ("app.localhost", True),
    ],
)
def test_development_listens_on_this_machine_only(host: str, is_refused: bool) -> None:
    assert Settings(host=host).host == host
    if is_refused:
        assert "TWINLOCK_HOST (from code) should be 127.0.0.1" in refusal(
            host=host, environment="development"
        )
    else:
        assert Settings(host=host, environment="development").host == host


@pytest.mark.parametrize("kind", ["refresh", "page"])
def test_an_idle_limit_beyond_the_absolute_one_is_refused(kind: str) -> None:
    given = {f"{kind}_idle_lifetime": "PT2H", f"{kind}_absolute_lifetime": "PT1H"}

    told = f"should not be longer than TWINLOCK_{kind.upper()}_ABSOLUTE_LIFETIME"
    assert told in refusal(**given)
    Settings.model_validate(given | {f"{kind}_absolute_lifetime": "PT2H"})


def test_each_lane_of_a_hash_needs_its_memory() -> None:
    """RFC 9106 section 3.1: at least 8 KiB for each lane."""
    given = {"environment": "development", "hash_memory_kib": 64}

    assert "8 KiB or more for each lane" in refusal(**given, hash_parallelism=9)
    Settings.model_validate({**given, "hash_parallelism": 8})


# How values are written


@pytest.mark.parametrize(
    "written, read",
    [
        ("https://Login.Example.com/", "https://login.example.com"),
        ("https://login.example.com:443", "https://login.example.com"),
        ("https://login.example.com:8443", "https://login.example.com:8443"),
        ("http://localhost:80", "http://localhost"),
        ("http://[0:0::1]:8000", "http://[::1]:8000"),
        ("  https://login.example.com\n", "https://login.example.com"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(
    environ: pytest.MonkeyPatch, written: str, read: str
) -> None:
    environ.setenv("TWINLOCK_BASE_URL", written)
    environ.setenv("TWINLOCK_CORS_ORIGINS", written)

    settings = Settings()

    assert (settings.base_url, settings.cors_origins) == (read, (read,))


def test_the_base_url_follows_the_port_and_the_audience_the_base_url() -> None:
    assert Settings(port=9000).audience == "http://localhost:9000"
    assert Settings(port=80).base_url == "http://localhost"
    assert Settings(base_url="https://a.example", port=9000).audience == "https://a.example"


@pytest.mark.parametrize(
    "written",
    ["10.0.0.0/8,192.0.2.7", " 10.0.0.0/8 , 192.0.2.7 ", '["10.0.0.0/8", "192.0.2.7"]'],
)
def test_a_list_is_written_with_commas_or_spaces_or_as_json(
    environ: pytest.MonkeyPatch, written: str
) -> None:
    environ.setenv("TWINLOCK_TRUSTED_PROXIES", written)

    assert Settings().trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("192.0.2.7"))


@pytest.mark.parametrize(
    "written, read",
    [
        ("300", timedelta(minutes=5)),
        ("PT5M", timedelta(minutes=5)),
        ("pt5m", timedelta(minutes=5)),
        ("PT1M1S", timedelta(seconds=61)),
        ("PT0H60M", timedelta(hours=1)),
    ],
)
def test_a_time_span_is_seconds_or_iso_8601(
    environ: pytest.MonkeyPatch, written: str, read: timedelta
) -> None:
    environ.setenv("TWINLOCK_ACCESS_TOKEN_LIFETIME", written)

    assert Settings().access_token_lifetime == read


@pytest.mark.parametrize(
    "written, shown", [("P2W", "P14D"), ("P1DT1H2M3S", "P1DT1H2M3S"), ("PT24H", "P1D")]
)
def test_a_time_span_is_shown_as_it_could_be_written(
    environ: pytest.MonkeyPatch, written: str, shown: str
) -> None:
    environ.setenv("TWINLOCK_REFRESH_IDLE_LIFETIME", written)
    settings = Settings()

    assert settings.masked()["TWINLOCK_REFRESH_IDLE_LIFETIME"].value == shown
    assert Settings(refresh_grace=timedelta(0)).masked()["TWINLOCK_REFRESH_GRACE"].value == "PT0S"


# Master keys


@pytest.mark.parametrize(
    "written",
    [
        f"{to_base64url(NEWER)},{to_base64url(OLDER)}",
        f"{to_base64url(NEWER)}=\n  {to_base64url(OLDER)}=\n",
        json.dumps([to_base64url(NEWER), to_base64url(OLDER)]),
        f"# newest\n{to_base64url(NEWER)} # 2030\n{to_base64url(OLDER)}",
        f"{to_base64url(NEWER)},{to_base64url(OLDER)}".translate(str.maketrans("-_", "+/")),
    ],
    ids=["commas", "lines and padding", "JSON", "key file", "base64"],
)
def test_master_keys_may_come_from_the_environment(
    environ: pytest.MonkeyPatch, written: str
) -> None:
    environ.setenv("TWINLOCK_SECRET_KEYS", written)

    assert load_master_keys(Settings()) == [NEWER, OLDER]


def test_master_keys_come_from_the_key_file_otherwise() -> None:
    settings = Settings()
    create_key_file(settings.secret_keys_file)

    [key] = load_master_keys(settings)

    assert len(key) == 32
    assert Keyring([key]).ids


def test_without_any_key_the_operator_is_sent_to_init_and_no_key_is_made() -> None:
    settings = Settings()

    with pytest.raises(NotInitializedError, match="twinlock init"):
        load_master_keys(settings)

    assert not settings.data_dir.exists()


@pytest.mark.parametrize(
    "key", [b"change-me-change-me-change-me-12", b"\0" * 32, b"\x01\x02" * 16], ids=repr
)
@pytest.mark.parametrize("source", ["environment", "file"])
def test_production_refuses_a_key_that_somebody_thought_of(
    environ: pytest.MonkeyPatch, folder: Path, key: bytes, source: str
) -> None:
    if source == "environment":
        environ.setenv("TWINLOCK_SECRET_KEYS", to_base64url(key))
    else:
        file = folder / "keys"
        file.write_text(to_base64url(key))
        file.chmod(0o600)
        environ.setenv("TWINLOCK_SECRET_KEYS_FILE", str(file))

    with pytest.raises(ConfigurationError, match="text or a pattern") as refused:
        load_master_keys(Settings())

    assert to_base64url(key) not in str(refused.value)
    assert load_master_keys(Settings(environment="development")) == [key]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_production_refuses_a_key_file_that_others_can_read() -> None:
    settings = Settings()
    create_key_file(settings.secret_keys_file)
    settings.secret_keys_file.chmod(0o640)

    with pytest.raises(ConfigurationError, match=f"chmod 600 '{settings.secret_keys_file}'"):
        load_master_keys(settings)

    assert len(load_master_keys(Settings(environment="development"))) == 1


# Nothing secret shows

SECRETS = {
    "TWINLOCK_SECRET_KEYS": to_base64url(random_bytes(32)),
    "TWINLOCK_SMTP_URL": f"smtps://me@example.com:{PASSWORD}@mail.example.com",
    "TWINLOCK_DATABASE_URL": f"postgresql://me:{PASSWORD}@db.example.com/x?sslpassword={PASSWORD}",
}


def hidden(text: str) -> bool:
    """Tell whether *text* holds none of the secrets."""
    return PASSWORD not in text and SECRETS["TWINLOCK_SECRET_KEYS"] not in text


def test_nothing_secret_is_shown(environ: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        environ.setenv(name, value)
    settings = Settings()

    shown = settings.masked()

    assert hidden(repr(settings) + str(settings) + repr(shown))
    assert shown["TWINLOCK_SECRET_KEYS"].value == ["***"]
    assert shown["TWINLOCK_SMTP_URL"].value == "***"
    assert (
        shown["TWINLOCK_DATABASE_URL"].value
        == "postgresql://me:***@db.example.com/x?sslpassword=***"
    )
    assert json.loads(json.dumps({name: setting.value for name, setting in shown.items()}))


@pytest.mark.parametrize(
    "written, shown",
    [
        (f"postgresql://u:a@{PASSWORD}@h/d", "postgresql://u:***@h/d"),
        (f"postgresql://u:a/{PASSWORD}@h/d", "postgresql://u:***@h/d"),
        (f"postgresql://u:a?{PASSWORD}@h/d", "postgresql://u:***@h/d"),
        (f"postgresql://u@x:{PASSWORD}@h/d", "postgresql://u@x:***@h/d"),
        (f"postgresql://h/d?p%61ssword={PASSWORD}", "postgresql://h/d?p%61ssword=***"),
        ("postgresql://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require"),
        ("sqlite:////data/x.sqlite3", "sqlite:////data/x.sqlite3"),
    ],
)
def test_a_password_inside_a_url_is_masked_however_badly_it_is_written(
    written: str, shown: str
) -> None:
    settings = Settings(database_url=written)

    assert settings.masked()["TWINLOCK_DATABASE_URL"].value == shown


@pytest.mark.parametrize("source", ["environment", ".env", "secrets", "toml", "code"])
@pytest.mark.parametrize("name", ["smtp_url", "secret_keys", "database_url", "base_url"])
def test_a_refused_secret_is_not_repeated(
    folder: Path, environ: pytest.MonkeyPatch, source: str, name: str
) -> None:
    value = f"wrong://me:{PASSWORD}@example.com"
    given = {}
    match source:
        case "environment":
            environ.setenv(variable(name), value)
        case ".env":
            (folder / ".env").write_text(f"{variable(name)}={value}")
        case "secrets":
            (folder / "secrets").mkdir()
            (folder / "secrets" / variable(name)).write_text(value)
            environ.setenv("TWINLOCK_SECRETS_DIR", "secrets")
        case "toml":
            (folder / "twinlock.toml").write_text(f'{name} = "{value}"')
        case _:
            given[name] = value

    with pytest.raises(ConfigurationError, match=variable(name)) as refused:
        Settings.model_validate(given)

    assert hidden("".join(traceback.format_exception(refused.value)))
    assert refused.value.__context__ is None


def test_secrets_may_be_given_in_code() -> None:
    settings = Settings(
        secret_keys=[SecretStr(to_base64url(NEWER))],
        smtp_url=SecretStr(SECRETS["TWINLOCK_SMTP_URL"]),
    )

    assert load_master_keys(settings) == [NEWER]
    assert hidden(repr(settings))


# What is allowed and likely a mistake


@pytest.mark.parametrize(
    "given, told",
    [
        ({}, []),
        ({"environment": "development"}, []),
        ({"base_url": "https://login.example.com", "trusted_proxies": "127.0.0.1"}, []),
        ({"base_url": "https://login.example.com"}, ["TWINLOCK_TRUSTED_PROXIES"]),
        ({"base_url": "https://192.0.2.1", "trusted_proxies": "127.0.0.1"}, ["TWINLOCK_BASE_URL"]),
        ({"host": "0.0.0.0"}, ["TWINLOCK_HOST"]),
        ({"smtp_url": None}, ["TWINLOCK_SMTP_URL"]),
        ({"smtp_url": None, "environment": "development"}, []),
    ],
)
def test_likely_mistakes_are_warned_of(given: dict[str, object], told: list[str]) -> None:
    settings = Settings.model_validate({"smtp_url": SECRETS["TWINLOCK_SMTP_URL"]} | given)

    assert [warning.split()[0] for warning in settings.warnings()] == told


def test_two_places_for_the_keys_are_warned_of() -> None:
    mail = SecretStr(SECRETS["TWINLOCK_SMTP_URL"])
    settings = Settings(secret_keys=[SecretStr(to_base64url(NEWER))], smtp_url=mail)
    create_key_file(settings.secret_keys_file)

    assert [warning.split()[0] for warning in settings.warnings()] == ["TWINLOCK_SECRET_KEYS"]


# The reference


NEED_MAIL = ("email_codes_enabled", "invitations_enabled", "registration_enabled")


@pytest.mark.parametrize("name", NEED_MAIL)
def test_what_needs_mail_is_refused_in_production_without(name: str) -> None:
    told = refusal(**{name: True})

    assert variable(name) in told
    assert "should be off without TWINLOCK_SMTP_URL" in told


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_explains_itself_and_its_example_is_accepted(
    environ: pytest.MonkeyPatch, name: str
) -> None:
    field = Settings.model_fields[name]
    assert field.description
    assert field.description.endswith(".")
    assert field.examples
    example = field.examples[0].replace("<newest>", to_base64url(NEWER))
    example = example.replace("<older>", to_base64url(OLDER))

    environ.setenv(variable(name), example)
    if name.startswith("rp_"):  # which have to fit the base URL
        environ.setenv("TWINLOCK_BASE_URL", "https://app.example.com")
    if name in NEED_MAIL:
        environ.setenv("TWINLOCK_SMTP_URL", "smtps://mail.example.com")

    assert Settings().masked()[variable(name)].source == "the environment"


# Passkeys


@pytest.mark.parametrize(
    "base_url, rp_id",
    [
        ("http://localhost:8000", "localhost"),
        ("https://login.example.com", "login.example.com"),
        ("https://login.example.com:8443", "login.example.com"),
        ("http://127.0.0.1:8000", None),
        ("http://[::1]:8000", None),
    ],
)
def test_passkeys_belong_to_the_host_of_the_base_url(base_url: str, rp_id: str | None) -> None:
    settings = Settings(base_url=base_url)

    assert settings.rp_id == rp_id
    assert settings.passkey_origins() == (base_url,)


def test_passkeys_may_belong_to_a_parent_that_other_origins_share() -> None:
    settings = Settings(
        base_url="https://login.example.com",
        rp_id="Example.com",
        rp_origins=["https://app.example.com/", "https://example.com"],
    )

    assert settings.rp_id == "example.com"
    assert settings.passkey_origins() == (
        "https://login.example.com",
        "https://app.example.com",
        "https://example.com",
    )


@pytest.mark.parametrize(
    "rp_id, complaint",
    [
        ("example.org", "the host of TWINLOCK_BASE_URL, or a parent of it"),
        ("evil-example.com", "the host of TWINLOCK_BASE_URL, or a parent of it"),
        ("a.login.example.com", "the host of TWINLOCK_BASE_URL, or a parent of it"),
        ("com", "not be a whole top-level domain"),
        ("https://example.com", "a host name"),
        ("example.com:443", "a host name"),
        ("192.0.2.1", "a host name"),
        ("", "a host name"),
    ],
)
def test_an_rp_id_that_no_browser_takes_is_refused(rp_id: str, complaint: str) -> None:
    told = refusal(base_url="https://login.example.com", rp_id=rp_id)

    assert "TWINLOCK_RP_ID" in told
    assert complaint in told


@pytest.mark.parametrize(
    "origin, complaint",
    [
        ("https://example.org", "on the host of TWINLOCK_RP_ID"),
        ("http://app.example.com", "begin with https://"),
        ("https://app.example.com/path", "nothing after it"),
    ],
)
def test_origins_that_cannot_use_passkeys_are_refused(origin: str, complaint: str) -> None:
    told = refusal(base_url="https://example.com", rp_origins=[origin])

    assert "TWINLOCK_RP_ORIGINS" in told
    assert complaint in told
