"""User names and e-mail addresses: which are allowed, and which are the same."""

import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twinlock.accounts.domains import ascii_domain, canonical_domain, checked_domain
from twinlock.accounts.names import (
    EmailAddress,
    EmailProblem,
    LoginKey,
    Username,
    UsernameProblem,
    canonical_email,
    canonical_username,
    check_email,
    check_username,
    login_key,
    smtp_address,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))
# Letters of several scripts, what looks like them, what cannot be seen, and what names end in.
TRICKY = st.text(
    st.sampled_from(
        "abiIıİjßſKé\u0301\u0307\u0323 .@-_+!xn。．＠Ａａа山カー한\u200b\u3164\u0661１ǅﬁΣς"
    )
)
DOMAINS = st.lists(
    st.one_of(TRICKY, st.builds("xn--{}".format, st.text("abcdefghijklmnopqrstuvwxyz0123456789-"))),
    max_size=4,
).map(".".join)
USERNAMES = st.text(
    st.characters(categories=("L", "N"), include_characters="._-+"), min_size=1, max_size=70
).filter(lambda text: isinstance(check_username(text), Username))


@pytest.mark.parametrize(
    "text, shown, key",
    [
        ("johndoe", "johndoe", "johndoe"),
        ("JohnDoe", "JohnDoe", "johndoe"),
        ("  JohnDoe ", "JohnDoe", "johndoe"),
        ("john.doe-2_x+y", "john.doe-2_x+y", "john.doe-2_x+y"),
        ("_service", "_service", "_service"),
        ("7", "7", "7"),
        ("Xavier", "Xavier", "xavier"),
        ("\u1e00\u1eff", "\u1e00\u1eff", "\u1e01\u1eff"),
        ("ｊｏｈｎ", "john", "john"),
        ("Jose\u0301", "José", "josé"),
        ("Straße", "Straße", "strasse"),
        ("Ɔkɔ", "Ɔkɔ", "ɔkɔ"),
        ("Nguyễn", "Nguyễn", "nguyễn"),
        ("Иван", "Иван", "иван"),
        ("山田太郎", "山田太郎", "山田太郎"),
        ("佐々木さくらラーメン", "佐々木さくらラーメン", "佐々木さくらラーメン"),
        ("김민수", "김민수", "김민수"),
        ("علي١", "علي١", "علي1"),
        ("दीपक", "दीपक", "दीपक"),
        ("x" * 64, "x" * 64, "x" * 64),
        ("ß" * 32, "ß" * 32, "s" * 64),
    ],
)
def test_a_username_is_shown_as_typed_and_found_by_its_key(text: str, shown: str, key: str) -> None:
    found = check_username(text)

    assert isinstance(found, Username)
    assert (found.text, found.key) == (shown, key)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", UsernameProblem.EMPTY),
        ("   ", UsernameProblem.EMPTY),
        ("x" * 65, UsernameProblem.TOO_LONG),
        ("ß" * 33, UsernameProblem.TOO_LONG),
        ("x" * 1_000_000, UsernameProblem.TOO_LONG),
        ("john@doe", UsernameProblem.AT_SIGN),
        ("john＠doe", UsernameProblem.AT_SIGN),
        ("john﹫doe", UsernameProblem.AT_SIGN),
        ("john doe", UsernameProblem.SPACE),
        ("john\u00a0doe", UsernameProblem.SPACE),
        ("john\u3000doe", UsernameProblem.SPACE),
        ("john\0", UsernameProblem.INVISIBLE),
        ("john\n", UsernameProblem.INVISIBLE),
        ("jo\u200bhn", UsernameProblem.INVISIBLE),
        ("jo\u202ehn", UsernameProblem.INVISIBLE),
        ("jo\u3164hn", UsernameProblem.INVISIBLE),
        ("jo\u034fhn", UsernameProblem.INVISIBLE),
        ("jo\ue000hn", UsernameProblem.INVISIBLE),
        ("jo\u0378hn", UsernameProblem.INVISIBLE),
        ("jo\ud800hn", UsernameProblem.INVISIBLE),
        ("john!", UsernameProblem.CHARACTER),
        ("john/doe", UsernameProblem.CHARACTER),
        ("<b>", UsernameProblem.CHARACTER),
        ("a:b", UsernameProblem.CHARACTER),
        ("john😀", UsernameProblem.CHARACTER),
        ("j\u0251hn", UsernameProblem.CHARACTER),  # the phonetic a
        ("j\u0250hn", UsernameProblem.CHARACTER),  # and its turned shape
        ("a\u07c1", UsernameProblem.CHARACTER),  # a digit of N'Ko
        ("\u01c3kung", UsernameProblem.CHARACTER),  # a click that looks like "!"
        ("عل\u0640ي", UsernameProblem.CHARACTER),  # stretched by a tatweel
        ("\u13a0\u13a1", UsernameProblem.CHARACTER),  # Cherokee, a script of limited use
        ("\u0301john", UsernameProblem.CHARACTER),
        ("john-\u0301", UsernameProblem.CHARACTER),
        ("x\u0332" + "\u0333" * 4, UsernameProblem.CHARACTER),
        (".john", UsernameProblem.ENDS),
        ("john.", UsernameProblem.ENDS),
        ("jo..hn", UsernameProblem.ENDS),
        ("-john", UsernameProblem.ENDS),
        ("+john", UsernameProblem.ENDS),
        ("...", UsernameProblem.ENDS),
        ("аdmin", UsernameProblem.SCRIPTS),  # a Cyrillic a
        ("αdmin", UsernameProblem.SCRIPTS),
        ("admin一", UsernameProblem.SCRIPTS),  # an ideograph like a dash
        ("カ한", UsernameProblem.SCRIPTS),
        ("ali١", UsernameProblem.SCRIPTS),
    ],
)
def test_a_username_that_could_pass_for_another_is_refused(
    text: str, problem: UsernameProblem
) -> None:
    assert check_username(text) is problem


@pytest.mark.parametrize("marks, allowed", [(4, True), (5, False)])
def test_a_letter_does_not_disappear_under_marks(marks: int, allowed: bool) -> None:
    """UTS #39 section 5.4: not more than four nonspacing marks in a row."""
    found = check_username("x" + "\u0332" * marks + "y")

    assert isinstance(found, Username) is allowed


@given(ANY_TEXT | TRICKY)
def test_a_username_stays_one_when_it_is_checked_again(text: str) -> None:
    found = check_username(text)

    if isinstance(found, Username):
        assert check_username(found.text) == found
        assert canonical_username(text) == found.key
        assert isinstance(check_username(found.key), Username)
        assert found.text.isprintable()


@given(ANY_TEXT | TRICKY)
def test_keys_do_not_change_when_taken_twice(text: str) -> None:
    assert canonical_username(canonical_username(text)) == canonical_username(text)
    assert canonical_email(canonical_email(text)) == canonical_email(text)


@given(DOMAINS)
@example("xn--ß.de")
@example("xn--xn--bcher-kva-.de")
@example("XN--BCHER-KVA.de")
def test_the_key_of_a_domain_does_not_change_when_taken_twice(domain: str) -> None:
    assert canonical_domain(canonical_domain(domain)) == canonical_domain(domain)


@given(USERNAMES, st.sampled_from(["upper", "lower", "swapcase", "title", "casefold"]))
def test_a_twin_in_other_case_signs_in_to_the_same_account(name: str, change: str) -> None:
    twin = getattr(name, change)()

    assert login_key(twin).text == login_key(twin.casefold()).text
    assert login_key(name.casefold()).text == login_key(name).text


@given(USERNAMES, st.sampled_from([" ", ".", "\u200b", "\u00ad", "\u3164", "\ufe0f", " . "]))
def test_a_twin_with_something_unseen_signs_in_to_the_same_account(name: str, unseen: str) -> None:
    assert login_key(name + unseen) == login_key(name)


@pytest.mark.parametrize(
    "typed, key",
    [
        ("johndoe", LoginKey("johndoe", is_email=False)),
        (" JohnDoe ", LoginKey("johndoe", is_email=False)),
        (".johndoe.", LoginKey("johndoe", is_email=False)),
        ("a@例え。jp", LoginKey("a@例え.jp", is_email=True)),
        ("JohnDoe@Example.COM", LoginKey("johndoe@example.com", is_email=True)),
        ("johndoe@example.com.", LoginKey("johndoe@example.com", is_email=True)),
        ("ｊｏｈｎ＠example.com", LoginKey("john@example.com", is_email=True)),
        ("a@xn--bcher-kva.example", LoginKey("a@bücher.example", is_email=True)),
        ("", LoginKey("", is_email=False)),
        ("@", LoginKey("@", is_email=True)),
    ],
)
def test_a_login_name_is_a_username_or_an_address(typed: str, key: LoginKey) -> None:
    assert login_key(typed) == key


@given(ANY_TEXT | TRICKY)
@example("\ud800")
@example("é\0")
@example("ﷺ" * 64)
def test_any_login_name_has_a_key_that_a_database_takes(typed: str) -> None:
    key = login_key(typed).text

    with sqlite3.connect(":memory:") as db:
        (stored,) = db.execute("SELECT ?", (key,)).fetchone()
    db.close()
    assert stored == key
    assert "\0" not in key  # PostgreSQL refuses it
    assert len(key) <= 254


@pytest.mark.parametrize(
    "typed",
    ["\ud800", "john\0", "john\x1b[0m", "é\x85", "x" * 1_025, "ﷺ" * 64, "x" * 255, "\ud800@x.de"],
)
def test_a_login_name_that_can_be_nobodys_finds_nobody(typed: str) -> None:
    key = login_key(typed)

    assert not isinstance(check_username(key.text), Username)
    assert key.is_email is False
    assert key != login_key(typed + "x")  # each is counted by itself


@given(ANY_TEXT | TRICKY)
def test_a_name_and_an_address_are_found_by_what_was_stored(text: str) -> None:
    username, email = check_username(text), check_email(text)

    if isinstance(username, Username):
        assert login_key(text) == LoginKey(username.key, is_email=False)
    if isinstance(email, EmailAddress):
        assert login_key(text) == LoginKey(email.key, is_email=True)


@pytest.mark.parametrize(
    "text, shown, key",
    [
        ("johndoe@example.com", "johndoe@example.com", "johndoe@example.com"),
        (" John.Doe+x@Example.COM ", "John.Doe+x@example.com", "john.doe+x@example.com"),
        ("o'brien!#$%&*/=?^_`{|}~@x.de", "o'brien!#$%&*/=?^_`{|}~@x.de", None),
        ("a@example.com.", "a@example.com", "a@example.com"),
        ("José@example.com", "José@example.com", "josé@example.com"),
        ("иван@почта.рф", "иван@почта.рф", "иван@почта.рф"),
        ("иван@example.com", "иван@example.com", "иван@example.com"),
        ("a@bücher.example", "a@bücher.example", "a@bücher.example"),
        ("a@BÜCHER.example", "a@bücher.example", "a@bücher.example"),
        ("a@xn--bcher-kva.example", "a@bücher.example", "a@bücher.example"),
        ("a@XN--Bcher-KVA.example", "a@bücher.example", "a@bücher.example"),
        ("a@straße.example", "a@straße.example", "a@strasse.example"),
        ("a@例え。jp", "a@例え.jp", "a@例え.jp"),
        ("a@bü-cher.de", "a@bü-cher.de", "a@bü-cher.de"),
        ("a@bü" + "c" * 54 + ".de", "a@bü" + "c" * 54 + ".de", "a@bü" + "c" * 54 + ".de"),
        ("a@1and1.com", "a@1and1.com", "a@1and1.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com", "a" * 64 + "@example.com"),
        ("a@" + "b" * 63 + ".de", "a@" + "b" * 63 + ".de", "a@" + "b" * 63 + ".de"),
    ],
)
def test_an_address_is_shown_as_typed_and_found_by_its_key(
    text: str, shown: str, key: str | None
) -> None:
    found = check_email(text)

    assert isinstance(found, EmailAddress)
    assert (found.text, found.key) == (shown, key or shown)


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", EmailProblem.EMPTY),
        (" ", EmailProblem.EMPTY),
        ("johndoe", EmailProblem.SYNTAX),
        ("@example.com", EmailProblem.SYNTAX),
        ("johndoe@", EmailProblem.SYNTAX),
        ("a@b@example.com", EmailProblem.LOCAL_PART),
        ("a b@example.com", EmailProblem.LOCAL_PART),
        ('"a b"@example.com', EmailProblem.LOCAL_PART),
        ("a(comment)@example.com", EmailProblem.LOCAL_PART),
        (".a@example.com", EmailProblem.LOCAL_PART),
        ("a.@example.com", EmailProblem.LOCAL_PART),
        ("a..b@example.com", EmailProblem.LOCAL_PART),
        ("аdmin@example.com", EmailProblem.LOCAL_PART),
        ("a,b@example.com", EmailProblem.LOCAL_PART),
        ("Jane <jane@example.com>", EmailProblem.LOCAL_PART),
        ("a@localhost", EmailProblem.DOMAIN),
        ("a@127.0.0.1", EmailProblem.DOMAIN),
        ("a@[127.0.0.1]", EmailProblem.DOMAIN),
        ("a@.com", EmailProblem.DOMAIN),
        ("a@example..com", EmailProblem.DOMAIN),
        ("a@example.com..", EmailProblem.DOMAIN),
        ("a@-example.com", EmailProblem.DOMAIN),
        ("a@example-.com", EmailProblem.DOMAIN),
        ("a@ex_ample.com", EmailProblem.DOMAIN),
        ("a@ex ample.com", EmailProblem.DOMAIN),
        ("a@ab--cd.com", EmailProblem.DOMAIN),
        ("a@gооgle.com", EmailProblem.DOMAIN),
        ("a@😀.com", EmailProblem.DOMAIN),
        ("a@xn--ls8h.com", EmailProblem.DOMAIN),  # the same in Punycode
        ("a@-bücher.de", EmailProblem.DOMAIN),
        ("a@bücher-.de", EmailProblem.DOMAIN),
        ("a@bü--cher.de", EmailProblem.DOMAIN),
        ("a@bü_cher.de", EmailProblem.DOMAIN),
        ("a@\u0301bücher.de", EmailProblem.DOMAIN),
        ("a@xn--a.com", EmailProblem.DOMAIN),
        ("a@xn--abc-.com", EmailProblem.DOMAIN),
        ("a@xn--99999999.com", EmailProblem.DOMAIN),
        ("a@bü" + "c" * 55 + ".de", EmailProblem.DOMAIN),
        ("a@" + "b" * 64 + ".de", EmailProblem.DOMAIN),
        ("a" * 65 + "@example.com", EmailProblem.TOO_LONG),
        ("é" * 33 + "@example.com", EmailProblem.TOO_LONG),
        ("a@" + ".".join(["bücher" * 3] * 11) + ".de", EmailProblem.TOO_LONG),
        ("x" * 1_025, EmailProblem.TOO_LONG),
        ("a\0@example.com", EmailProblem.INVISIBLE),
        ("a\r\nBcc: b@example.com", EmailProblem.INVISIBLE),
        ("a@exa\u200bmple.com", EmailProblem.INVISIBLE),
        ("\ud800@example.com", EmailProblem.INVISIBLE),
    ],
)
def test_an_address_that_no_mail_reaches_is_refused(text: str, problem: EmailProblem) -> None:
    assert check_email(text) is problem


@pytest.mark.parametrize("length, allowed", [(254, True), (255, False)])
def test_an_address_has_at_most_254_octets(length: int, allowed: bool) -> None:
    """RFC 5321 section 4.5.3.1.3: a path of 256, its brackets included."""
    labels = [*["b" * 60] * 3, "de"]
    domain = ".".join(labels)
    local_part = "a" * 60
    padding = length - len(local_part) - 1 - len(domain) - 1
    address = f"{local_part}@{'c' * padding}.{domain}"
    assert len(address) == length

    assert isinstance(check_email(address), EmailAddress) is allowed
    assert login_key(address).is_email is allowed


@given(ANY_TEXT | st.builds("{}@{}".format, TRICKY, DOMAINS))
def test_an_address_stays_one_when_it_is_checked_again(text: str) -> None:
    found = check_email(text)

    if isinstance(found, EmailAddress):
        assert check_email(found.text) == found
        assert canonical_email(text) == found.key
        local_part, _, domain = smtp_address(found.text).rpartition("@")
        assert domain.isascii()
        assert check_email(f"{local_part}@{domain}") == found


@pytest.mark.parametrize(
    "domain, expected",
    [
        ("example.com", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("straße.de", "xn--strae-oqa.de"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("παράδειγμα.δοκιμή", "xn--hxajbheg2az3al.xn--jxalpdlp"),
        ("пример.испытание", "xn--e1afmkfd.xn--80akhbyknj4f"),
        ("مثال.إختبار", "xn--mgbh0fb.xn--kgbechtv"),
        ("실례.테스트", "xn--9n2bp8q.xn--9t4b11yi5a"),
    ],
)
def test_mail_carries_domains_in_ascii(domain: str, expected: str) -> None:
    """The test domains that IANA kept for IDN, and RFC 5894 section 7.2 for the sharp s."""
    assert ascii_domain(domain) == expected
    assert checked_domain(expected) == domain


def test_every_problem_says_what_to_do() -> None:
    for problem in (*UsernameProblem, *EmailProblem):
        assert problem.sentence.endswith(".")
