"""What kopf is told."""

from __future__ import annotations

from typing import Any, cast

import kopf
import pytest
from contex_operator import handlers


def login() -> Any:
    """What the registered login handler answers."""
    registry = kopf.OperatorRegistry()
    handlers.register(registry, enqueue=lambda _: None, deployment_changed=lambda _, __: None)
    (handler,) = cast("Any", registry)._activities.get_all_handlers()
    return handler.fn()


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [("10.96.0.1", "6443", "https://10.96.0.1:6443"), ("fd00::1", "", "https://[fd00::1]:443")],
)
def test_kopf_asks_the_api_server_by_its_address_and_needs_no_dns(
    monkeypatch: pytest.MonkeyPatch, host: str, port: str, server: str
) -> None:
    account = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t", ca_path="/ca.crt")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: account)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    found = login()
    assert (found.server, found.token, found.ca_path) == (server, "t", "/ca.crt")


def test_outside_of_a_cluster_it_takes_the_kubeconfig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: None)
    monkeypatch.setattr(kopf, "login_with_kubeconfig", lambda **_: "kubeconfig")
    assert login() == "kubeconfig"
