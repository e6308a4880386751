"""No password leaves the cluster in a support bundle: neither a known one nor one that only looks like one."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from contex_operator.cli import redact
from hypothesis import given
from hypothesis import strategies as st

PASSWORD = 'p/ss"w:rd@ü'


@given(
    password=st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=4, max_size=40).filter(
        lambda text: len(set(text)) > 3 and "*" not in text
    )
)
def test_a_known_password_is_found_in_every_spelling(password: str) -> None:
    content = "\n".join(
        (
            f"a {password} b",
            quote(password, safe=""),
            base64.b64encode(password.encode()).decode(),
            f"x{password}x",
        )
    )
    clean = redact.text(content, known=redact.spellings([password]))
    assert password not in clean
    assert base64.b64encode(password.encode()).decode() not in clean


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("connecting to redis://:hunter22@redis-master:6379/0 now", "@redis-master:6379/0 now"),
        ("url=rediss://app:hunter22@host/1", "@host/1"),
        ('{"redis_url": "redis://:hunter22@redis:6379"}', "@redis:6379"),
        ("requirepass hunter22", "requirepass"),
        ("sentinel auth-pass mymaster hunter22", "auth-pass mymaster"),
        ("REDIS_PASSWORD=hunter22", "REDIS_PASSWORD="),
        ('"sentinel_password": "hunter22"', "sentinel_password"),
        ("API_KEY_SALT: hunter22", "API_KEY_SALT"),
        ('{"password": "a hunter22, b", "db": 0}', '"db": 0'),
        ('{"text": "{\\"password\\": \\"hunter22\\"}"}', "password"),
        ("password='a hunter22' db=0", "db=0"),
        ("redis-cli AUTH hunter22 PING", "PING"),
    ],
)
def test_what_looks_like_a_secret_is_removed_unknown(line: str, kept: str) -> None:
    clean = redact.text(line)
    assert "hunter22" not in clean
    assert kept in clean


@pytest.mark.parametrize(
    "line",
    [
        "AUTH failed: WRONGPASS invalid username-password pair",
        "secretName: redis-auth",
        "REDIS_SENTINEL_MASTER=mymaster",
        "http://10.0.0.1:8001/health 200",
        "resourceVersion: '1234'",
        "secret:\n  secretName: redis-auth\n  items: []",
        "requirepass\nmaxmemory 0",
    ],
)
def test_what_helps_stays(line: str) -> None:
    assert redact.text(line) == line


def test_manifests() -> None:
    body: dict[str, Any] = {
        "kind": "Deployment",
        "metadata": {
            "name": "contex",
            "managedFields": [{"manager": "x"}],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": PASSWORD, "kept": "yes"},
        },
        "spec": {
            "containers": [
                {
                    "env": [
                        {"name": "REDIS_PASSWORD", "value": PASSWORD},
                        {"name": "API_KEY_SALT", "value": PASSWORD},
                        {"name": "REDIS_URL", "value": "redis://:hunter22@redis/0"},
                        {"name": "REDIS_DB", "value": "0"},
                        {
                            "name": "X",
                            "valueFrom": {"secretKeyRef": {"name": "redis-auth", "key": "password"}},
                        },
                    ]
                }
            ]
        },
    }
    clean = redact.manifest(body)
    told = redact.text(yaml.safe_dump(clean, allow_unicode=True))
    assert PASSWORD not in str(clean)
    assert "hunter22" not in told
    assert "managedFields" not in told
    assert "last-applied" not in told
    for kept in ("kept: 'yes'", "REDIS_DB", "redis-auth", "@redis/0"):
        assert kept in told
    assert "managedFields" in body["metadata"], "the object itself was changed"


def test_of_a_secret_the_names_of_keys_stay() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "redis-auth"}, "data": {"password": "aHVudGVyMjI="}}
    assert redact.manifest(secret)["data"] == {"password": redact.HIDDEN}
