"""Which passwords are in force: every combination of source and copy, and that no sentence tells one."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from contex_operator import names
from contex_operator.actions import Create
from contex_operator.credentials import Credentials, credentials
from contex_operator.model import Object

from tests.unit.world import FRESH_PASSWORDS, WHO, replicated, snapshot

SOURCE, ACTIVE = "redis-auth", "redis-auth-active"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def a_secret(password: str = "old", sentinel_password: str = "older") -> Object:
    data = {"password": encoded(password), "sentinel-password": encoded(sentinel_password)}
    return {"kind": "Secret", "metadata": {"name": "x"}, "data": data}


def look(
    *,
    source: Object | None = None,
    active: Object | None = None,
    named: str | None = None,
    initialized: bool = False,
    **spec: Any,
) -> Credentials:
    """The credentials with these two Secrets in the API; `named` is spec.auth.secretName."""
    auth = {"auth": {"secretName": named}} if named else {}
    return credentials(
        WHO,
        replicated(**auth, **spec),
        snapshot(
            status={"initialized": True} if initialized else {},
            objects={("Secret", named or SOURCE): source, ("Secret", ACTIVE): active},
        ),
        fresh=FRESH_PASSWORDS,
    )


def created(found: Credentials) -> dict[str, tuple[str, str]]:
    """The passwords in each Secret that is to be created."""
    return {
        action.body["metadata"]["name"]: (
            base64.b64decode(action.body["data"]["password"]).decode(),
            base64.b64decode(action.body["data"]["sentinel-password"]).decode(),
        )
        for action in found.actions
        if isinstance(action, Create)
    }


def test_without_auth_there_are_none() -> None:
    found = credentials(WHO, replicated(auth={"enabled": False}), snapshot(), fresh=FRESH_PASSWORDS)
    assert found == Credentials()


def test_a_new_resource_gets_new_passwords_and_the_copy_beside_them() -> None:
    found = look()
    assert created(found) == {SOURCE: FRESH_PASSWORDS, ACTIVE: FRESH_PASSWORDS}
    assert (found.password, found.sentinel_password) == FRESH_PASSWORDS
    assert [a.body["metadata"]["name"] for a in found.actions if isinstance(a, Create)] == [SOURCE, ACTIVE]


def test_a_start_that_was_interrupted_between_the_two_goes_on_with_the_first() -> None:
    found = look(source=a_secret("first", "second"))
    assert created(found) == {ACTIVE: ("first", "second")}
    assert found.password == "first"


@pytest.mark.parametrize("named", [None, "mine"])
def test_the_copy_is_what_counts(named: str | None) -> None:
    found = look(source=a_secret(), active=a_secret(), named=named)
    assert found == Credentials(password="old", sentinel_password="older")


@pytest.mark.parametrize("named", [None, "mine"])
@pytest.mark.parametrize("change", [{"password": "new"}, {"sentinel_password": "new"}])
def test_a_changed_source_changes_nothing_but_a_sentence(named: str | None, change: dict[str, str]) -> None:
    found = look(source=a_secret(**change), active=a_secret(), named=named, initialized=True)
    assert found.actions == ()
    assert (found.password, found.sentinel_password) == ("old", "older")
    assert found.changed is not None
    assert f"Secret {named or SOURCE} has changed" in found.changed
    assert "new" not in found.changed


def test_a_deleted_source_is_restored_from_the_copy() -> None:
    found = look(active=a_secret(), initialized=True)
    assert created(found) == {SOURCE: ("old", "older")}
    assert found.changed is None


def test_a_deleted_copy_is_restored_from_the_source() -> None:
    assert created(look(source=a_secret(), initialized=True)) == {ACTIVE: ("old", "older")}


def test_a_secret_of_the_users_is_never_written() -> None:
    found = look(active=a_secret(), named="mine", initialized=True)
    assert found.actions == ()
    assert found.changed == "Secret mine is gone; the pods keep their passwords, put it back"
    found = look(source=a_secret("a", "b"), named="mine")
    assert set(created(found)) == {ACTIVE}


def test_a_named_secret_that_does_not_exist_is_named_with_its_keys() -> None:
    found = look(named="mine")
    assert found.actions == ()
    assert found.problem is not None
    assert found.problem[0] == "AuthSecretMissing"
    assert "Secret mine, which does not exist" in found.problem[1]
    assert "password and sentinel-password" in found.problem[1]


def test_once_initialized_no_password_is_made_anew() -> None:
    found = look(initialized=True)
    assert found.actions == ()
    assert found.password is None
    assert found.problem is not None
    assert found.problem[0] == "AuthSecretMissing"


@pytest.mark.parametrize(("retain", "owned"), [(True, False), (False, True)])
def test_the_generated_secret_stays_with_the_volumes(retain: bool, owned: bool) -> None:
    found = look(persistence={"retain": retain})
    owners = {
        action.body["metadata"]["name"]: "ownerReferences" in action.body["metadata"]
        for action in found.actions
        if isinstance(action, Create)
    }
    assert owners == {SOURCE: owned, ACTIVE: True}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "Secret mine has no key password; it needs password and sentinel-password"),
        ({"password": encoded("x")}, "Secret mine has no key sentinel-password"),
        ({"password": "", "sentinel-password": encoded("x")}, "Secret mine has no key password"),
        (
            {"password": encoded("hidden\n"), "sentinel-password": encoded("x")},
            "key password of Secret mine contains a line break",
        ),
        (
            {"password": encoded("x"), "sentinel-password": encoded("hid\x7fden")},
            "key sentinel-password of Secret mine contains a line break or another control character",
        ),
        ({"password": "/w==", "sentinel-password": encoded("x")}, "key password of Secret mine is not text"),
        (
            {"password": "no base64", "sentinel-password": encoded("x")},
            "key password of Secret mine is not text",
        ),
    ],
)
def test_a_secret_that_redis_could_not_take_is_refused(data: dict[str, str], words: str) -> None:
    found = look(source={"kind": "Secret", "metadata": {"name": "mine"}, "data": data}, named="mine")
    assert found.actions == ()
    assert found.password is None
    assert found.problem is not None
    assert found.problem[0] == ("AuthSecretInvalid")
    assert words in found.problem[1]
    assert "hid" not in found.problem[1]


def test_a_spoilt_copy_is_told_and_not_overwritten() -> None:
    spoilt = {"kind": "Secret", "metadata": {"name": ACTIVE}, "data": {}}
    found = look(source=a_secret(), active=spoilt, initialized=True)
    assert found.actions == ()
    assert found.problem is not None
    assert ACTIVE in found.problem[1]


def test_passwords_may_be_any_text_in_one_line() -> None:
    nasty = "ü \"'$(x) #\\"
    assert look(source=a_secret(nasty), active=a_secret(nasty)).password == nasty


def test_more_keys_in_the_users_secret_stay_there() -> None:
    source: dict[str, Any] = dict(a_secret())
    source["data"] = {**source["data"], "tls.key": encoded("k")}
    (action,) = look(source=source, named="mine").actions
    assert isinstance(action, Create)
    assert set(action.body["data"]) == {names.KEY_PASSWORD, names.KEY_SENTINEL_PASSWORD}
