"""Every table of the house, for Alembic to compare with a database."""

from twinlock.accounts import tables as accounts
from twinlock.accounts.entries import tables as entries
from twinlock.accounts.resets import tables as resets
from twinlock.audit import tables as audit
from twinlock.audit.chain import tables as audit_chain
from twinlock.db.base import tell_dialects
from twinlock.devices import tables as devices
from twinlock.factors.authenticators import tables as authenticators
from twinlock.factors.email_code import tables as email_code
from twinlock.factors.passkey import tables as passkey
from twinlock.factors.recovery_codes import tables as recovery_codes
from twinlock.factors.totp import tables as totp
from twinlock.installation import tables as installation
from twinlock.mail import tables as mail
from twinlock.pending import tables as pending
from twinlock.policies import tables as policies
from twinlock.sessions import tables as sessions
from twinlock.throttle import tables as throttle
from twinlock.throttle.familiar import tables as familiar
from twinlock.tokens import tables as tokens

ALL = (
    accounts,
    audit,
    audit_chain,
    authenticators,
    email_code,
    entries,
    devices,
    familiar,
    installation,
    passkey,
    mail,
    pending,
    policies,
    recovery_codes,
    resets,
    sessions,
    throttle,
    tokens,
    totp,
)
"""The modules that declare tables; importing them fills the one `MetaData`."""

tell_dialects()
