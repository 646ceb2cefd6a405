"""Sealed values open where they belong, and nowhere else."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supportly.crypto import Binding, CannotOpen, KeyRing, Vault


def key(byte: int) -> str:
    return base64.urlsafe_b64encode(bytes([byte]) * 32).decode()


VAULT = Vault(KeyRing(f"k1:{key(1)}"))
HOME = Binding(1, "acme", "conn-1", "tokens")

bindings = st.builds(
    Binding,
    account_id=st.integers(0, 2**63 - 1),
    provider=st.text(max_size=12),
    owner=st.text(max_size=12),
    field=st.text(max_size=12),
)


@given(st.binary(max_size=300), bindings)
def test_what_is_sealed_opens_again(plain, binding):
    sealed = VAULT.seal(plain, binding)
    assert VAULT.open(sealed, binding) == plain
    assert sealed != VAULT.seal(plain, binding)


@settings(max_examples=1000, deadline=None)
@given(bindings, bindings)
def test_a_moved_value_does_not_open(home, elsewhere):
    """A thousand bindings, and texts that would look alike if they were only joined."""
    sealed = VAULT.seal(b"secret", home)
    if home != elsewhere:
        with pytest.raises(CannotOpen):
            VAULT.open(sealed, elsewhere)


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(HOME, account_id=2),
        replace(HOME, provider="acm"),
        replace(HOME, owner="conn-2"),
        replace(HOME, field="verifier"),
        Binding(1, "acmeconn-1", "", "tokens"),
        Binding(11, "cme", "conn-1", "tokens"),
    ],
)
def test_each_part_of_the_place_counts(elsewhere):
    with pytest.raises(CannotOpen):
        VAULT.open(VAULT.seal(b"secret", HOME), elsewhere)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_value_does_not_open(data):
    version, key_id, body = VAULT.seal(b"secret", HOME).split(".")
    raw = bytearray(base64.urlsafe_b64decode(body))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CannotOpen):
        VAULT.open(f"{version}.{key_id}.{base64.urlsafe_b64encode(raw).decode()}", HOME)


@given(st.text(max_size=80))
def test_any_text_is_refused_in_one_way(text):
    with pytest.raises(CannotOpen):
        VAULT.open(text, HOME)


@pytest.mark.parametrize("cut", [0, 1, 5, 40, 80])
def test_a_short_value_does_not_open(cut):
    with pytest.raises(CannotOpen):
        VAULT.open(VAULT.seal(b"secret", HOME)[:cut], HOME)


def test_another_version_is_refused():
    sealed = VAULT.seal(b"secret", HOME)
    with pytest.raises(CannotOpen, match="version 2"):
        VAULT.open("2" + sealed[1:], HOME)


def test_keys_rotate():
    old = VAULT.seal(b"secret", HOME)
    both = Vault(KeyRing(f"k2:{key(2)},k1:{key(1)}"))
    assert both.open(old, HOME) == b"secret"
    new = both.seal(b"secret", HOME)
    assert new.startswith("1.k2.")
    with pytest.raises(CannotOpen, match="`k2` is not in the ring"):
        VAULT.open(new, HOME)
    # The key's id is bound too: a value cannot be told to be of another key.
    with pytest.raises(CannotOpen):
        both.open(old.replace(".k1.", ".k2."), HOME)


def test_no_secret_shows_in_an_error():
    other = Vault(KeyRing(f"k1:{key(9)}"))
    with pytest.raises(CannotOpen) as caught:
        other.open(VAULT.seal(b"secret", HOME), HOME)
    assert str(caught.value) == "the value is damaged or belongs elsewhere"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (" , ", "empty"),
        ("k1", "not `id:` and 32 bytes"),
        ("k1:", "not `id:` and 32 bytes"),
        (f":{key(1)}", "not `id:` and 32 bytes"),
        (f"k.1:{key(1)}", "not `id:` and 32 bytes"),
        ("k1:c2hvcnQ=", "not `id:` and 32 bytes"),
        ("k1:ü", "not `id:` and 32 bytes"),
        (f"k1:{key(1)},k1:{key(2)}", "stands twice"),
    ],
)
def test_a_ring_that_is_wrong_says_so_without_the_key(text, said):
    with pytest.raises(ValueError, match=said) as caught:
        KeyRing(text)
    assert key(1) not in str(caught.value)


def test_padding_may_be_left_out():
    assert KeyRing(f"k1:{key(1).rstrip('=')}").current == "k1"


def test_each_purpose_has_keys_of_its_own():
    ring = KeyRing(f"k2:{key(2)},k1:{key(1)}")
    first, second = ring.derive("one"), ring.derive("two")
    assert list(first) == ["k2", "k1"]
    assert len({*first.values(), *second.values()}) == 4
    assert bytes([1]) * 32 not in first.values()
