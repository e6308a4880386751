"""The laboratory as a Python object: what tests, the demo and the command line use.

>>> lab = Lab()                                   # $CONTEX_LAB, else "default"
>>> lab.up()
>>> lab.kubectl("get", "nodes").stdout
>>> with lab.faults.power_off("node2"):           # powered on again at the end
...     ...
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab import assembly, faults, network, paths, removal
from lab.cgroups import lab_group
from lab.errors import LabError, NotUp, UsageError
from lab.hosts import CLIENT, CONTROL, HOSTS, NODES, Host, clean_environment, joined
from lab.imagestore import ImageLike, import_argv
from lab.layout import Layout
from lab.node import zone
from lab.shell import Argument, run
from lab.status import HostStatus, LabStatus

# A proxy of the machine's network is of no use inside, and would swallow requests to the API server.
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class Lab:
    """One laboratory by name. Making the object touches nothing; every verb but up, down, is_up and status raises
    NotUp when the laboratory is not up."""

    nodes: tuple[str, ...] = NODES

    def __init__(self, name: str | None = None) -> None:
        self.name = paths.lab_name(name)
        self.layout = Layout(self.name)
        self._hosts = {host: Host(self.name, host) for host in HOSTS}

    def __repr__(self) -> str:
        return f"Lab({self.name!r})"

    # -- life ---------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Bring the laboratory up, from whatever is there; nothing happens when it is up already.

        Installs packages, builds tools and images as far as they are missing (long the first time).
        Raises Unsupported where the machine cannot carry it, BuildFailed, WaitTimeout.
        """
        if not self.is_up:
            assembly.up(self)

    def down(self) -> None:
        """Remove everything of the laboratory; nothing happens when there is nothing."""
        with removal.exclusive(self.name):
            removal.wipe(self.name)

    @property
    def is_up(self) -> bool:
        """Whether the laboratory is whole: brought up completely, its control plane and its client alive."""
        return self.layout.marker.exists() and all(self._hosts[h].pid is not None for h in (CONTROL, CLIENT))

    def require_up(self) -> None:
        """Raises NotUp when the laboratory is not up."""
        if not self.is_up:
            raise NotUp(f"the laboratory {self.name!r} is not up; start it with `python -m lab up`")

    def status(self) -> LabStatus:
        """What runs, and which faults are active; works in every state."""
        up = self.is_up
        ready = self._ready_nodes() if up else {}
        hosts = tuple(self._host_status(host, ready=ready.get(host)) for host in HOSTS) if up else ()
        active = tuple(fault.summary for fault in self.faults.active()) if up else ()
        return LabStatus(self.name, up, hosts, active)

    def _host_status(self, name: str, *, ready: bool | None) -> HostStatus:
        host, control = self._hosts[name], self._hosts[CONTROL]
        powered = host.pid is not None
        linked = powered and (name == CONTROL or network.link_is_up(name, control))
        memory = host.group.memory_bytes()
        return HostStatus(name, network.ADDRESSES[name], powered, linked, host.group.is_frozen, ready, memory)

    def _ready_nodes(self) -> dict[str, bool]:
        try:
            answer = self.kubectl("get", "nodes", "-o", "json", "--request-timeout=5s")
            nodes = json.loads(answer.stdout)["items"]
        except (LabError, ValueError):
            return {}
        return {
            node["metadata"]["name"]: any(
                c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ())
            )
            for node in nodes
        }

    # -- the cluster --------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; its address is reachable inside the laboratory only."""
        return self.layout.kubeconfig

    @property
    def audit_log(self) -> Path:
        """The API server's audit log: JSON lines, level Metadata, stages ResponseStarted (of watches) and
        ResponseComplete. At 200 MB it is renamed and begun anew."""
        return self.layout.audit_log

    def kubectl(
        self, *args: Argument, input: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator in the client host; raises CommandFailed when it fails and `check`."""
        return self._tool("kubectl", args, input=input, check=check)

    def helm(
        self, *args: Argument, input: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run helm as administrator in the client host; raises CommandFailed when it fails and `check`."""
        return self._tool("helm", args, input=input, check=check)

    def tool_argv(self, tool: str, args: Sequence[Argument]) -> list[str]:
        """argv that runs a tool of the laboratory (kubectl, helm) in the client host, in this folder."""
        return self.in_client_argv([str(self.layout.bin / tool), *(os.fspath(arg) for arg in args)])

    def _tool(
        self, tool: str, args: Sequence[Argument], *, input: str | None, check: bool
    ) -> subprocess.CompletedProcess[str]:
        return run(self.tool_argv(tool, args), input=input, check=check)

    # -- hosts --------------------------------------------------------------------------------------------

    def host(self, name: str) -> Host:
        """A host by name; raises UsageError where there is none of that name."""
        if name not in self._hosts:
            raise UsageError(f"there is no host {name!r} in a laboratory; it has {', '.join(HOSTS)}")
        return self._hosts[name]

    def node(self, name: str) -> Host:
        """A node by name; raises UsageError where there is none of that name."""
        if name not in NODES:
            raise UsageError(f"there is no node {name!r}; the laboratory has {', '.join(NODES)}")
        return self._hosts[name]

    def zone(self, node: str) -> str:
        """The failure zone of a node (its label topology.kubernetes.io/zone)."""
        return zone(self.node(node).name)

    def node_argv(self, node: str, *argv: str) -> list[str]:
        """argv that runs a command in all namespaces of a node; raises NotUp when the node is off."""
        self.require_up()
        return [*self.node(node).enter_argv(), "--", *argv]

    def exec_node(
        self, node: str, *argv: str, input: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a node; raises NotUp when it is off, CommandFailed when it fails and `check`."""
        return run(self.node_argv(node, *argv), input=input, check=check)

    def client_argv(self, *argv: str) -> list[str]:
        """argv that runs a command in the client host, in this folder, with KUBECONFIG and the tools in PATH.

        The command joins a control group of the laboratory, so that `down` finds and ends it whatever happens.
        """
        self.require_up()
        return self.in_client_argv(list(argv))

    def in_client_argv(self, argv: list[str]) -> list[str]:
        """As client_argv; works while the laboratory is still coming up, too."""
        without = [option for name in PROXY_VARIABLES for option in ("-u", name)]
        caches = {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.layout.root / "kube"),
            "HELM_CACHE_HOME": str(self.layout.root / "helm" / "cache"),
            "HELM_CONFIG_HOME": str(self.layout.root / "helm" / "config"),
            "HELM_DATA_HOME": str(self.layout.root / "helm" / "data"),
            "CONTEX_LAB": self.name,
            "PATH": f"{self.layout.bin}:{os.environ.get('PATH') or clean_environment()['PATH']}",
        }
        settings = [f"{name}={value}" for name, value in caches.items()]
        # nsenter leaves us in the root of the file system: env goes back to this folder.
        env = ["env", f"--chdir={Path.cwd()}", *without, *settings]
        sessions = (lab_group(self.name) / assembly.SESSIONS).folder()
        return joined([sessions], [*self._hosts[CLIENT].enter_argv("net", "mnt"), "--", *env, *argv])

    # -- images -------------------------------------------------------------------------------------------

    def load_images(self, *archives: Path) -> None:
        """Import image archives into every node that is powered on; raises CommandFailed where one is no image."""
        self.require_up()
        for node in self.running_nodes():
            for archive in archives:
                with archive.open("rb") as stream:
                    done = subprocess.run(
                        self.node_argv(node, *import_argv("-")),
                        stdin=stream,
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                if done.returncode != 0:
                    raise LabError(f"{archive} could not be imported on {node}: {done.stderr.strip()}")

    def load_changed(self, images: Iterable[ImageLike]) -> list[str]:
        """Import those of `images` that the laboratory does not have in this form; returns their names."""
        self.require_up()
        state = json.loads(self.layout.marker.read_text())
        changed = [image for image in images if state["images"].get(image.name) != image.digest]
        if changed:
            self.load_images(*(image.path for image in changed))
            state["images"].update({image.name: image.digest for image in changed})
            assembly.write_marker(self.layout, state)
        return [image.name for image in changed]

    def running_nodes(self) -> tuple[str, ...]:
        """The nodes that are powered on."""
        return tuple(node for node in NODES if self._hosts[node].pid is not None)

    # -- faults -------------------------------------------------------------------------------------------

    @functools.cached_property
    def faults(self) -> faults.Faults:
        """The faults that can be done to this laboratory, each with its undo."""
        return faults.Faults(self)
