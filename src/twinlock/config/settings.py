"""The settings of an installation: all groups together, and what they say in combination.

A value given in code counts first, then the environment, `.env`, the folder of secrets, and the
TOML file. A name that is no setting, and a value that is not fit for production, stop the start.
Each heading of the reference is a group, in the file of that name in `groups/`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from pydantic import ConfigDict

from twinlock.config import values
from twinlock.config.explained import SettingsGroup, variable
from twinlock.config.groups.audit import AuditSettings
from twinlock.config.groups.database import DatabaseSettings
from twinlock.config.groups.installation import InstallationSettings
from twinlock.config.groups.keys import KeySettings
from twinlock.config.groups.logins import LoginSettings
from twinlock.config.groups.mail import MailSettings
from twinlock.config.groups.metrics import MetricsSettings
from twinlock.config.groups.pages import PagesSettings
from twinlock.config.groups.passkeys import PasskeySettings
from twinlock.config.groups.passwords import (
    LEAST_HASH_ITERATIONS,
    LEAST_HASH_MEMORY_KIB,
    PasswordSettings,
)
from twinlock.config.groups.server import ServerSettings
from twinlock.config.groups.sessions import SessionSettings
from twinlock.config.groups.throttling import ThrottlingSettings
from twinlock.core.errors import ConfigurationError
from twinlock.installation import key_file
from twinlock.sessions.policy import Lifetimes
from twinlock.throttle.policy import FamiliarFor, Limit, Rule, ThrottleRules

GROUPS: Final[tuple[type[SettingsGroup], ...]] = (
    InstallationSettings,
    ServerSettings,
    MetricsSettings,
    PagesSettings,
    DatabaseSettings,
    KeySettings,
    MailSettings,
    SessionSettings,
    LoginSettings,
    PasskeySettings,
    PasswordSettings,
    ThrottlingSettings,
    AuditSettings,
)
"""In the order of the reference."""


# Pydantic takes the fields of the last base first, and a default may follow settings before it.
class Settings(
    AuditSettings,
    ThrottlingSettings,
    PasswordSettings,
    PasskeySettings,
    LoginSettings,
    SessionSettings,
    MailSettings,
    KeySettings,
    DatabaseSettings,
    PagesSettings,
    MetricsSettings,
    ServerSettings,
    InstallationSettings,
):
    """All settings of one installation, checked together and then fixed."""

    model_config = ConfigDict(defer_build=False)

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


def _with_tries(rule: Rule, *tries: int) -> Rule:
    limits = zip(tries, rule.limits, strict=True)
    return replace(rule, limits=tuple(Limit(count, limit.window) for count, limit in limits))
