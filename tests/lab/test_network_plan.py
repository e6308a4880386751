"""Addresses, certificates and the commands that make the network."""

from __future__ import annotations

import ipaddress
import itertools
from pathlib import Path

import pytest

from lab import network
from lab.errors import CommandFailed
from lab.hosts import CLIENT, CONTROL, HOSTS, NODES
from lab.pki import API_NAMES, USERS, Pki, leaves
from lab.shell import run

TEST_NETWORK = ipaddress.ip_network("198.18.0.0/15")  # RFC 2544: never routed anywhere


def networks() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Every range that the laboratory uses."""
    hosts = ipaddress.ip_network(f"{network.ADDRESSES[CONTROL]}/{network.HOST_PREFIX}", strict=False)
    return [hosts, *(ipaddress.ip_network(network.pod_range(node)) for node in NODES), *service_networks()]


def service_networks() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The range of Services."""
    return [ipaddress.ip_network(network.SERVICE_RANGE)]


def test_all_addresses_are_from_the_test_network_and_no_ranges_overlap() -> None:
    assert all(each.subnet_of(TEST_NETWORK) for each in networks())  # type: ignore[arg-type]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(networks(), 2))


def test_every_host_has_an_address_and_a_hardware_address_of_its_own() -> None:
    assert set(network.ADDRESSES) == set(HOSTS)
    assert len(set(network.ADDRESSES.values())) == len(HOSTS)
    assert len({network.mac(host) for host in HOSTS}) == len(HOSTS)
    # Locally administered, unicast.
    assert all(int(network.mac(host)[:2], 16) & 0b11 == 0b10 for host in HOSTS)


def test_pod_ranges_are_what_kube_proxy_takes_for_pods() -> None:
    pods = ipaddress.ip_network(network.POD_RANGE)
    assert all(ipaddress.ip_network(network.pod_range(node)).subnet_of(pods) for node in NODES)  # type: ignore[arg-type]


def test_the_fixed_services_are_in_the_range_of_services() -> None:
    (services,) = service_networks()
    assert ipaddress.ip_address(network.DNS_SERVICE) in services
    assert str(next(services.hosts())) == network.API_SERVICE


def test_a_node_counts_with_its_pods_and_the_client_with_itself() -> None:
    assert network.ranges("node2") == ("198.18.0.12/32", "198.19.2.0/24")
    assert network.ranges(CLIENT) == ("198.18.0.20/32",)


@pytest.mark.parametrize("node", NODES)
def test_a_node_has_routes_to_the_pods_of_all_others(node: str) -> None:
    routes = [line for line in network.host_batch(node).splitlines() if line.startswith("route add 198.19.")]
    assert routes == [
        f"route add {network.pod_range(other)} via {network.ADDRESSES[other]}"
        for other in NODES
        if other != node
    ]


def test_certificates_are_signed_and_name_what_they_serve(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    pki.create()
    for leaf in leaves():
        run(["openssl", "verify", "-CAfile", pki.path("ca.crt"), pki.path(f"{leaf.name}.crt")])
    shown = run(["openssl", "x509", "-in", pki.path("apiserver.crt"), "-noout", "-text"]).stdout
    assert all(f"DNS:{name}" in shown for name in API_NAMES)
    assert f"IP Address:{network.API_SERVICE}" in shown
    with pytest.raises(CommandFailed):  # a leaf is no authority
        run(["openssl", "verify", "-CAfile", pki.path("admin.crt"), pki.path("node1.crt")])


def test_keys_are_for_root_only_and_every_user_has_a_kubeconfig(tmp_path: Path) -> None:
    pki = Pki(tmp_path / "pki")
    pki.create()
    assert pki.folder.stat().st_mode & 0o077 == 0
    assert all(pki.kubeconfig(user).exists() for user in USERS)
    assert '"server": "https://198.18.0.1:6443"' in pki.kubeconfig("admin").read_text()
