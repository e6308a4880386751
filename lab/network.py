"""The laboratory's network: one bridge, a link for each host, and no way out.

The bridge and the API server live in the host `control`. Addresses are from 198.18.0.0/15, which RFC 2544 sets
aside for test networks; they mean something inside the laboratory's namespaces only, so every laboratory uses the
same ones. Nothing connects these namespaces to the machine's own network.

    198.18.0.0/24     hosts: .1 control plane, .11–.13 nodes, .20 client
    198.19.N.0/24     pods of nodeN
    198.19.128.0/17   Services, .128.1 the API server, .128.10 the cluster's DNS
"""

from __future__ import annotations

from lab.hosts import CLIENT, CONTROL, NODES, Host
from lab.shell import run

BRIDGE, LINK = "br0", "eth0"
HOST_PREFIX = 24
POD_RANGE, SERVICE_RANGE = "198.19.0.0/17", "198.19.128.0/17"
API_SERVICE, DNS_SERVICE = "198.19.128.1", "198.19.128.10"
ADDRESSES = {
    CONTROL: "198.18.0.1",
    **{node: f"198.18.0.{11 + i}" for i, node in enumerate(NODES)},
    CLIENT: "198.18.0.20",
}
API_PORT = 6443


def pod_range(node: str) -> str:
    """The addresses of the pods on `node`."""
    return f"198.19.{NODES.index(node) + 1}.0/24"


def ranges(host: str) -> tuple[str, ...]:
    """Every address that traffic from or to `host` can carry: its own and those of its pods."""
    own = (f"{ADDRESSES[host]}/32",)
    return (*own, pod_range(host)) if host in NODES else own


def mac(host: str) -> str:
    """The hardware address of a host's link: fixed, as neighbours remember it over a power cycle."""
    return f"02:c7:00:00:00:{int(ADDRESSES[host].rsplit('.', 1)[1]):02x}"


def bridge_batch() -> str:
    """Commands for `ip -batch` in the control host, which make the bridge and the routes to the pods."""
    return "\n".join(
        (
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"link set {BRIDGE} address {mac(CONTROL)} up",
            f"address add {ADDRESSES[CONTROL]}/{HOST_PREFIX} dev {BRIDGE}",
            *(f"route add {pod_range(node)} via {ADDRESSES[node]}" for node in NODES),
        )
    )


def host_batch(host: str) -> str:
    """Commands for `ip -batch` in a node or the client, once it has its link."""
    return "\n".join(
        (
            "link set lo up",
            f"link set {LINK} address {mac(host)}",
            f"address add {ADDRESSES[host]}/{HOST_PREFIX} dev {LINK}",
            f"link set {LINK} up",
            f"route add default via {ADDRESSES[CONTROL]}",
            *(f"route add {pod_range(node)} via {ADDRESSES[node]}" for node in NODES if node != host),
        )
    )


def _forward(host: Host) -> None:
    # A packet to nowhere is answered with "unreachable" at once, where without forwarding it would be dropped.
    run([*host.enter_argv("net"), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def make_bridge(control: Host) -> None:
    """Make the bridge in a fresh control host."""
    run([*control.enter_argv("net"), "ip", "-batch", "-"], input=bridge_batch())
    _forward(control)


def unlink(host: str, control: Host) -> None:
    """Remove a host's link; nothing happens where there is none.

    The link of a dead host does not always go by itself at once: its network namespace lives on, without any
    process, for up to two minutes while the kernel tries to deliver the last words of closed connections.
    """
    run([*control.enter_argv("net"), "ip", "link", "delete", host], check=False)


def connect(host: Host, control: Host) -> None:
    """Give a fresh node or client its link to the bridge, its addresses and its routes."""
    unlink(host.name, control)
    peer = ["peer", "name", LINK, "netns", str(host.require_pid())]
    run(["ip", "link", "add", host.name, "netns", str(control.require_pid()), "type", "veth", *peer])
    run([*host.enter_argv("net"), "ip", "-batch", "-"], input=host_batch(host.name))
    _forward(host)
    batch = f"link set {host.name} master {BRIDGE}\nlink set {host.name} up"
    run([*control.enter_argv("net"), "ip", "-batch", "-"], input=batch)


def set_link(host: str, control: Host, *, up: bool) -> None:
    """Plug or unplug the host's cable, on the bridge's side."""
    run([*control.enter_argv("net"), "ip", "link", "set", host, "up" if up else "down"])


def link_is_up(host: str, control: Host) -> bool:
    """Whether the host's cable is plugged in; False where the host is off."""
    shown = run([*control.enter_argv("net"), "ip", "-oneline", "link", "show", host], check=False).stdout
    flags = shown.partition("<")[2].partition(">")[0].split(",")
    return "UP" in flags
