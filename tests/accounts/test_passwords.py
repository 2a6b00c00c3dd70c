"""Stored hashes, ours and other systems', and the stand-ins for those that do not exist."""

import base64
import hashlib

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlock.accounts.passwords import (
    DEFAULT_PROFILE,
    FAST_PROFILE,
    UNUSABLE,
    HashProfile,
    dummy_hash,
    hash_password,
    is_password,
    is_too_long,
    needs_upgrade,
    problem_with_hash,
    scheme_of,
)

PASSWORD = "pässwörd 🔑"
# Made by the programs named, from PASSWORD, at a low cost.
FOREIGN = {
    "argon2-cffi 25.1, Argon2id": (
        "$argon2id$v=19$m=64,t=1,p=1$J0eJQDK1LNfhuTh7FIiw+Q$LEVitVt9r9xVcHHD474ZUqS3PrK2SodBBOWsFumAgAQ",
        "argon2id$m=64,t=1,p=1",
    ),
    "argon2-cffi 25.1, Argon2i": (
        "$argon2i$v=19$m=64,t=1,p=1$zfJTELVwKATw9LxIIcyfrg$ppgUO5J4xUCqlA9z22ELX7AuMu0rtVhRYlnejx8/uxE",
        "argon2i$m=64,t=1,p=1",
    ),
    "argon2-cffi 25.1, Argon2d": (
        "$argon2d$v=19$m=64,t=1,p=1$+/Cn583AsV1cqsuRtOxxiA$SbDKuhf7Qt0ckNwM2MxPQj1JymXLr8trCC6yFSPoXtM",
        "argon2d$m=64,t=1,p=1",
    ),
    "Django 5.2, argon2": (
        "argon2$argon2id$v=19$m=64,t=1,p=2$S1NmamZ3VnNTZmxncTZURWVEYWV0Yw$l7kiPtgTV3z5bmSd/5mYdQPxNbPM3EZ8GZQUAVRGPxo",
        "argon2id$m=64,t=1,p=2",
    ),
    "Django 5.2, pbkdf2_sha256": (
        "pbkdf2_sha256$1000$UeWaCsmTKzaXXStHTKC7zZ$5FEhseOlO/3ozt9XuWKSJNS4XQrnOKLIP5oWm4Ga3jA=",
        "pbkdf2_sha256$1000",
    ),
    "Django 5.2, pbkdf2_sha1": (
        "pbkdf2_sha1$1000$5w9oipEw1QCqs93HCJRyHj$CR1NRyh+2n+s6/KVOzFQw9So60A=",
        "pbkdf2_sha1$1000",
    ),
    "Django 5.2, scrypt": (
        "scrypt$16$r2cWGsbeQQiOS8E684QjMY$8$5$7eCzyZl3svo9EkUYv+yBAleCtMNsefZMdaLfYC2n2y2xcGWFMOWL3KTyzR/QKvIRjdluCxnOxNvl5ss9RuPj9A==",
        "scrypt$n=16,r=8,p=5",
    ),
    "Django 5.2, bcrypt_sha256": (
        "bcrypt_sha256$$2b$04$yzuVmRho4yrrsTiUmHqPAO0wuDczfSqiPzzqoS0n/yeZL.D9tiKNq",
        "bcrypt_sha256$4",
    ),
    "Django 5.2, bcrypt": (
        "bcrypt$$2b$04$ko7BpjJgHiH85c2tspRCfuMhTIEmcQpsqsZF8AbaLrQDIrH7TCA5S",
        "bcrypt$4",
    ),
    "bcrypt 5.0": ("$2b$04$Jhd5i5J.yVt8DSDHa.gt/u9IkeEIt9l.Gnl4.hbjS4nKY.GpT8PGG", "bcrypt$4"),
    "passlib 1.7, pbkdf2_sha256": (
        "$pbkdf2-sha256$1000$a835n5MypnQOQah1TqlVyg$svQ//6p716vijeAD5FcDjRZdafcWcT/7Z2003tYcdTg",
        "pbkdf2_sha256$1000",
    ),
    "passlib 1.7, pbkdf2_sha512": (
        "$pbkdf2-sha512$1000$vHcOYewdQ0gJQag15tzb2w$AjsqXpcZnMCfXEMGkCCRvs.pZ2vf04N/nAxMXh9/PQ87wToJ.qamU.NCvwUciZH41G4RewCDSyEdQHRxjtm1cw",
        "pbkdf2_sha512$1000",
    ),
    "passlib 1.7, pbkdf2_sha1": (
        "$pbkdf2$1000$0RpjTKlVqrXW.t87J8Q4Bw$yg2wbUmzokEV80Ga0oZdBn9sYko",
        "pbkdf2_sha1$1000",
    ),
    "passlib 1.7, scrypt": (
        "$scrypt$ln=4,r=8,p=1$/L+Xcq5V6v1/D2GMEUII4Q$6nGsMiEZ6jrHWeXnBvBHST1IKHo7c8DmOVm2DPoIwOU",
        "scrypt$n=16,r=8,p=1",
    ),
}
SALT = "J0eJQDK1LNfhuTh7FIiw+Q"
DIGEST = "LEVitVt9r9xVcHHD474ZUqS3PrK2SodBBOWsFumAgAQ"
DIGEST_64 = "7eCzyZl3svo9EkUYv+yBAleCtMNsefZMdaLfYC2n2y2xcGWFMOWL3KTyzR/QKvIRjdluCxnOxNvl5ss9RuPj9A"
BCRYPT = "Jhd5i5J.yVt8DSDHa.gt/u9IkeEIt9l.Gnl4.hbjS4nKY.GpT8PGG"
ANY_TEXT = st.text(st.characters(exclude_categories=()))
foreign = pytest.mark.parametrize(
    "stored, scheme", [pytest.param(*values, id=name) for name, values in FOREIGN.items()]
)


def argon2(
    parameters: str = "m=64,t=1,p=1", *, variant: str = "argon2id$v=19", digest: str = DIGEST
) -> str:
    return f"${variant}${parameters}${SALT}${digest}"


@foreign
def test_a_hash_of_another_system_takes_its_password(stored: str, scheme: str) -> None:
    assert is_password(stored, PASSWORD)


@foreign
@pytest.mark.parametrize("other", ["", "pässwörd", PASSWORD + " ", PASSWORD.upper(), "password"])
def test_a_hash_of_another_system_takes_no_other_password(
    stored: str, scheme: str, other: str
) -> None:
    assert not is_password(stored, other)


@foreign
def test_the_scheme_says_what_the_cost_depends_on(stored: str, scheme: str) -> None:
    assert scheme_of(stored) == scheme
    assert problem_with_hash(stored) is None


@foreign
def test_a_weaker_hash_is_upgraded(stored: str, scheme: str) -> None:
    assert needs_upgrade(stored)


def test_the_user_of_the_fastapi_tutorial_signs_in() -> None:
    stored = "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW"

    assert is_password(stored, "secret")
    assert scheme_of(stored) == "bcrypt$12"


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
def test_every_good_version_of_bcrypt_counts(version: str) -> None:
    assert is_password(f"${version}$04${BCRYPT}", PASSWORD)
    assert scheme_of(f"${version}$04${BCRYPT}") == "bcrypt$4"


def test_bcrypt_reads_72_bytes_of_a_password() -> None:
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()

    assert is_password(stored, "x" * 72 + "y")
    assert not is_password(stored, "x" * 71 + "y")


def test_bcrypt_over_sha256_reads_the_whole_password() -> None:
    prehashed = hashlib.sha256(b"x" * 100).hexdigest().encode()
    stored = "bcrypt_sha256$" + bcrypt.hashpw(prehashed, bcrypt.gensalt(4)).decode()

    assert is_password(stored, "x" * 100)
    assert not is_password(stored, "x" * 99 + "y")


def test_a_bcrypt_salt_with_stray_bits_is_read_as_its_makers_did() -> None:
    """Only two bits of the 22nd character belong to the salt; old programs set the others too."""
    stored = f"$2b$04${BCRYPT}"
    assert stored[28] == "u"

    stray = stored[:28] + "v" + stored[29:]

    assert is_password(stray, PASSWORD)
    assert not is_password(stored[:28] + "e" + stored[29:], PASSWORD)


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


SHORT_PBKDF2 = encoded(hashlib.pbkdf2_hmac("sha256", b"pw", b"salt", 9, 16))
UNSALTED_PBKDF2 = encoded(hashlib.pbkdf2_hmac("sha256", b"pw", b"", 9)).replace("+", ".")
UNSALTED_SCRYPT = encoded(hashlib.scrypt(b"pw", salt=b"", n=16, r=8, p=1, dklen=16))


@pytest.mark.parametrize(
    "stored",
    [
        f"pbkdf2_sha256$9$salt${SHORT_PBKDF2}",
        f"$pbkdf2-sha256$9$${UNSALTED_PBKDF2}",
        f"$scrypt$ln=4,r=8,p=1$${UNSALTED_SCRYPT}",
    ],
)
def test_an_unusual_hash_takes_its_password(stored: str) -> None:
    assert is_password(stored, "pw")
    assert not is_password(stored, "pw2")


def test_a_new_hash_takes_its_password_and_no_other() -> None:
    stored = hash_password(PASSWORD, profile=FAST_PROFILE)

    assert is_password(stored, PASSWORD)
    assert not is_password(stored, PASSWORD + "x")


def test_a_new_hash_is_argon2id_of_the_contract() -> None:
    stored = hash_password(PASSWORD)

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert [len(part) for part in stored.split("$")[4:]] == [22, 43]  # 16 bytes and 32
    assert scheme_of(stored) == "argon2id$m=19456,t=2,p=1"
    assert not needs_upgrade(stored)


def test_two_hashes_of_one_password_differ() -> None:
    hashes = {hash_password(PASSWORD, profile=FAST_PROFILE) for _ in range(20)}

    assert len(hashes) == 20


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=1_024))
def test_a_password_is_taken_as_received(password: str) -> None:
    stored = hash_password(password, profile=FAST_PROFILE)

    assert is_password(stored, password)
    assert not is_password(stored, password[:-1] if password else "x")


@pytest.mark.parametrize(
    "set_password, typed",
    [
        ("jos\u00e9", "jose\u0301"),
        ("１２３４", "1234"),
        ("Password", "password"),
        ("password", " password"),
        ("password", "password\n"),
    ],
)
def test_a_password_is_neither_trimmed_nor_normalised(set_password: str, typed: str) -> None:
    assert not is_password(hash_password(set_password, profile=FAST_PROFILE), typed)


@pytest.mark.parametrize("password", ["x" * 1_025, "secret\0", "\0", "\ud800", "abc\udfff"])
def test_no_text_that_cannot_be_a_password_is_hashed(password: str) -> None:
    with pytest.raises(ValueError, match="can not be a password"):
        hash_password(password, profile=FAST_PROFILE)


@foreign
@pytest.mark.parametrize("password", ["x" * 1_025, PASSWORD + "\0", "\ud800"])
def test_what_cannot_be_a_password_fits_nothing(stored: str, scheme: str, password: str) -> None:
    assert not is_password(stored, password)


@pytest.mark.parametrize("length, expected", [(1_024, False), (1_025, True)])
def test_the_longest_password_has_1024_characters(length: int, expected: bool) -> None:
    assert is_too_long("ü" * length) is expected


def test_the_longest_password_is_compared_in_full() -> None:
    stored = hash_password("x" * 1_024, profile=FAST_PROFILE)

    assert is_password(stored, "x" * 1_024)
    assert not is_password(stored, "x" * 1_023 + "y")
    assert not is_password(stored, "x" * 1_025)


@pytest.mark.parametrize(
    "stored, profile, expected",
    [
        (argon2("m=64,t=2,p=1"), HashProfile(64, 2), False),
        (argon2("m=65,t=3,p=2"), HashProfile(64, 2), False),
        (argon2("m=63,t=2,p=1"), HashProfile(64, 2), True),
        (argon2("m=64,t=1,p=1"), HashProfile(64, 2), True),
        (argon2("m=64,t=2,p=1", variant="argon2i$v=19"), HashProfile(64, 2), True),
        (argon2("m=64,t=2,p=1", digest=DIGEST[:22]), HashProfile(64, 2), True),
        (argon2("m=64,t=2,p=1").replace(SALT, SALT[:11]), HashProfile(64, 2), True),
        ("argon2" + argon2("m=64,t=2,p=1"), HashProfile(64, 2), False),
        ("no hash", HashProfile(64, 2), True),
    ],
)
def test_a_hash_is_upgraded_if_it_is_weaker_than_the_profile(
    stored: str, profile: HashProfile, expected: bool
) -> None:
    assert needs_upgrade(stored, profile=profile) is expected


@pytest.mark.parametrize(
    "profile, is_fit",
    [
        (DEFAULT_PROFILE, True),
        (HashProfile(19_456, 2, 1), True),
        (HashProfile(65_536, 3, 4), True),
        (HashProfile(19_455, 2, 1), False),
        (HashProfile(19_456, 1, 1), False),
        (FAST_PROFILE, False),
    ],
)
def test_production_takes_no_profile_below_the_contract(profile: HashProfile, is_fit: bool) -> None:
    assert (profile.weakness is None) is is_fit


JUST_INSIDE = [
    argon2("m=262144,t=20,p=16"),
    argon2("m=8,t=1,p=1"),
    argon2(digest=DIGEST[:22]),
    argon2(digest=DIGEST_64),
    f"$2b$04${BCRYPT}",
    f"$2b$16${BCRYPT}",
    f"pbkdf2_sha256$10000000$salt${DIGEST}=",
    f"pbkdf2_sha512$5000000$salt${DIGEST_64}",
    f"scrypt$262144$salt$8$4${DIGEST}=",
    f"scrypt$32768$salt$64$4${DIGEST}=",
    f"scrypt$16384$salt$8$16${DIGEST}=",
    f"$scrypt$ln=18,r=8,p=1${SALT}${DIGEST}",
    f"scrypt$2$salt$1$1${DIGEST}=",
    f"scrypt$32768$salt$1$1${DIGEST}=",
]
JUST_OUTSIDE = [
    argon2("m=262145,t=1,p=1"),
    argon2("m=4194304,t=1,p=1"),
    argon2("m=64,t=21,p=1"),
    argon2("m=1024,t=1,p=17"),
    argon2("m=7,t=1,p=1"),
    argon2("m=15,t=1,p=2"),
    argon2(digest=DIGEST[:20]),
    argon2(digest=DIGEST_64 + "AA"),
    argon2(variant="argon2id$v=16"),
    argon2(variant="argon2id"),
    argon2().replace(SALT, SALT[:10]),
    f"$2b$03${BCRYPT}",
    f"$2b$17${BCRYPT}",
    f"$2b$31${BCRYPT}",
    f"pbkdf2_sha256$10000001$salt${DIGEST}=",
    f"pbkdf2_sha512$5000001$salt${DIGEST_64}",
    f"pbkdf2_sha1$10000001$salt${DIGEST[:27]}",
    f"pbkdf2_sha1$1000$salt${DIGEST}=",  # longer than one SHA-1
    f"pbkdf2_sha256$1000$salt${DIGEST[:20]}",
    f"scrypt$524288$salt$8$1${DIGEST}=",
    f"scrypt$262144$salt$8$5${DIGEST}=",
    f"scrypt$16384$salt$8$17${DIGEST}=",
    f"scrypt$1024$salt$65$1${DIGEST}=",
    f"scrypt$16383$salt$8$1${DIGEST}=",
    f"scrypt$1$salt$8$1${DIGEST}=",
    f"scrypt$65536$salt$1$1${DIGEST}=",
    f"scrypt$16384$salt$8$1${DIGEST[:20]}",
    f"$scrypt$ln=19,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=99,r=8,p=1${SALT}${DIGEST}",
]


@pytest.mark.parametrize("stored", JUST_INSIDE)
def test_a_hash_inside_the_caps_is_usable(stored: str) -> None:
    assert problem_with_hash(stored) is None
    assert scheme_of(stored) != UNUSABLE


@pytest.mark.parametrize("stored", JUST_OUTSIDE)
def test_a_hash_outside_the_caps_is_never_computed(stored: str) -> None:
    """A PHC string with m = 4 GiB would run for a minute."""
    assert problem_with_hash(stored)
    assert scheme_of(stored) == UNUSABLE
    assert not is_password(stored, PASSWORD)
    assert needs_upgrade(stored)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        " ",
        "!",
        "!unusable",
        "secret",
        "$",
        "$$$$",
        "\0",
        "\ud800",
        "$argon2id$",
        argon2("m=0,t=1,p=1"),
        argon2("m=64,t=0,p=1"),
        argon2("m=64,t=1,p=0"),
        argon2("m=-64,t=1,p=1"),
        argon2("m=99999999999999999999,t=1,p=1"),
        argon2("m=６４,t=1,p=1"),
        argon2("t=1,m=64,p=1"),
        argon2("m=64,t=1,p=1,keyid=AA"),
        argon2(digest=""),
        argon2(digest="A"),
        argon2(digest="!" * 43),
        argon2() + "$",
        argon2() + "\n",
        " " + argon2(),
        argon2().upper(),
        "argon2$" + argon2(),
        "$2b$04$" + BCRYPT[:-1],
        "$2b$04$" + BCRYPT + "x",
        "$2b$4$" + BCRYPT,
        "$2x$04$" + BCRYPT,
        "$2$04$" + BCRYPT,
        "bcrypt$$$2b$04$" + BCRYPT,
        f"pbkdf2_sha256$0$salt${DIGEST}=",
        f"pbkdf2_md5$1000$salt${DIGEST}=",
        f"pbkdf2_sha256$1000$salt${DIGEST}===",
        f"pbkdf2_sha256$1000$${DIGEST}=",
        "pbkdf2_sha256$1000$salt$",
        f"$pbkdf2-sha256$1000$A${DIGEST}",
        f"scrypt$0$salt$8$1${DIGEST}=",
        f"scrypt$16$salt$0$1${DIGEST}=",
        "scrypt$16$salt$8$1$A",
        f"$scrypt$ln=0,r=8,p=1${SALT}${DIGEST}",
        f"$scrypt$ln=4,r=8,p=1$A${DIGEST}",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "sha1$salt$5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b",
        "x" * 1_000_000,
        "$" * 100_000,
    ],
)
def test_text_that_is_no_hash_fits_no_password(stored: str) -> None:
    assert not is_password(stored, PASSWORD)
    assert not is_password(stored, "")
    assert scheme_of(stored) == UNUSABLE
    assert problem_with_hash(stored)
    assert needs_upgrade(stored)


@given(ANY_TEXT, ANY_TEXT)
def test_any_two_texts_give_an_answer(stored: str, password: str) -> None:
    assert is_password(stored, password) is False


@given(st.data())
def test_a_damaged_hash_gives_an_answer(data: st.DataObject) -> None:
    stored = data.draw(st.sampled_from([stored for stored, _ in FOREIGN.values()]))
    position = data.draw(st.integers(0, len(stored) - 1))
    change = data.draw(st.sampled_from(["", "$", "=", ",", "A", "0", "é", "\ud800", "\0", "\n"]))

    damaged = stored[:position] + change + stored[position + 1 :]

    assert is_password(damaged, "another password") is False
    assert isinstance(scheme_of(damaged), str)


@foreign
def test_a_stand_in_costs_what_the_scheme_costs(stored: str, scheme: str) -> None:
    """Security page, 4: an unknown name is compared with a hash of the same scheme."""
    stand_in = dummy_hash(scheme, b"seed")

    assert scheme_of(stand_in) == scheme
    assert problem_with_hash(stand_in) is None


@foreign
@given(seed=st.binary(max_size=64))
def test_a_stand_in_fits_no_password(stored: str, scheme: str, seed: bytes) -> None:
    assert not is_password(dummy_hash(scheme, seed), PASSWORD)


@foreign
def test_a_stand_in_depends_on_its_seed_alone(stored: str, scheme: str) -> None:
    assert dummy_hash(scheme, b"one") == dummy_hash(scheme, b"one")
    assert dummy_hash(scheme, b"one") != dummy_hash(scheme, b"two")


@pytest.mark.parametrize(
    "scheme",
    [
        UNUSABLE,
        "",
        "argon2id",
        "argon2id$m=4194304,t=1,p=1",
        "argon2id$m=1,t=1,p=1",
        "bcrypt$31",
        "bcrypt$3",
        "pbkdf2_sha256$99999999",
        "scrypt$n=3,r=8,p=1",
        "\ud800",
    ],
)
def test_a_stand_in_for_no_usable_scheme_is_of_the_default_one(scheme: str) -> None:
    assert scheme_of(dummy_hash(scheme, b"seed")) == "argon2id$m=19456,t=2,p=1"
