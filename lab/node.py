"""The nodes: containerd, kubelet and kube-proxy, and the client's kube-proxy."""

from __future__ import annotations

import json

from lab import network
from lab.hosts import CLIENT, NODES
from lab.layout import Layout, write_argv
from lab.pki import PROXY

BINARIES = ("kubelet", "kube-proxy")
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
ZONE_LABEL = "topology.kubernetes.io/zone"
MAX_PODS = 60
CLUSTER_DOMAIN = "cluster.local"


def zone(node: str) -> str:
    """The failure zone of a node: one each."""
    return f"zone-{NODES.index(node) + 1}"


def containerd_config(*, pause_image: str) -> str:
    """containerd's configuration; its root and state are the default places, which are each node's own."""
    return f"""version = 2
oom_score = 0
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Without CAP_SYS_RESOURCE runc cannot lower oom_score_adj, and fails with "can't get final child's PID from pipe".
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/var/lib/cni/net.d"
"""


def cni_config(node: str) -> dict[str, object]:
    """The pods' network of one node: a bridge, addresses of the node's range, no masquerading."""
    addresses = {
        "type": "host-local",
        "ranges": [[{"subnet": network.pod_range(node)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/var/lib/cni/networks",
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{**bridge, "ipam": addresses}, ports]}


def kubelet_config(lab: Layout, node: str) -> dict[str, object]:
    """KubeletConfiguration of a node.

    Two settings differ from a real cluster's, so that tests of crashes and dead nodes stay short and repeatable: a
    container that crashes again and again is started again after 1 s at most (else after 10 s, 20 s … 5 min;
    feature gate KubeletCrashLoopBackOffMax), and the node's Lease is renewed more often.
    """
    pki = lab.pki.path
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki("ca.crt"))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pki(f"{node}.crt")),
        "tlsPrivateKeyFile": str(pki(f"{node}.key")),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/contex-lab/{lab.name}/{node}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "localStorageCapacityIsolation": False,
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": MAX_PODS,
        "serializeImagePulls": False,
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "resolvConf": str(lab.host(node) / "resolv.conf"),
        "clusterDNS": [network.DNS_SERVICE],
        "clusterDomain": CLUSTER_DOMAIN,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "2s",
        "nodeLeaseDurationSeconds": 6,
        "featureGates": {"KubeletCrashLoopBackOffMax": True},
        "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
    }


def kubelet_argv(lab: Layout, node: str) -> list[str]:
    """kubelet of a node."""
    return [
        str(lab.bin / "kubelet"),
        f"--config={lab.host(node) / 'kubelet.json'}",
        f"--kubeconfig={lab.pki.kubeconfig(node)}",
        f"--hostname-override={node}",
        f"--node-ip={network.ADDRESSES[node]}",
        f"--node-labels={ZONE_LABEL}={zone(node)}",
        "--v=1",
    ]


def proxy_config(lab: Layout, *, hostname: str) -> dict[str, object]:
    """KubeProxyConfiguration; the default minSyncPeriod of 1 s is a real cluster's."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": network.POD_RANGE,
        "hostnameOverride": hostname,
        "clientConnection": {"kubeconfig": str(lab.pki.kubeconfig(PROXY))},
        "conntrack": {"maxPerCore": 0},
    }


def write_node_files(lab: Layout, node: str, *, pause_image: str) -> None:
    """Write all that a node's init script reads."""
    folder = lab.host(node)
    write_argv(folder, "containerd", ["containerd", "--config", str(folder / "containerd.toml")])
    write_argv(folder, "kubelet", kubelet_argv(lab, node))
    write_argv(folder, "kube-proxy", [str(lab.bin / "kube-proxy"), f"--config={folder / 'kube-proxy.json'}"])
    (folder / "containerd.toml").write_text(containerd_config(pause_image=pause_image))
    (folder / "kubelet.json").write_text(json.dumps(kubelet_config(lab, node)))
    (folder / "kube-proxy.json").write_text(json.dumps(proxy_config(lab, hostname=node)))
    # For pods with dnsPolicy Default: there is no resolver, and an answer "refused" comes at once.
    (folder / "resolv.conf").write_text("nameserver 127.0.0.9\n")
    cni = lab.node_disk(node) / "cni" / "net.d"
    cni.mkdir(parents=True)
    (cni / "10-pods.conflist").write_text(json.dumps(cni_config(node)))


def write_client_files(lab: Layout) -> None:
    """Write all that the client's init script reads.

    The client is no node of the cluster. Its kube-proxy takes node1's name, as it would wait 30 s for a node of
    its own name; only Services with a traffic policy or preference for the node's own endpoints notice.
    """
    folder = lab.host(CLIENT)
    write_argv(folder, "kube-proxy", [str(lab.bin / "kube-proxy"), f"--config={folder / 'kube-proxy.json'}"])
    (folder / "kube-proxy.json").write_text(json.dumps(proxy_config(lab, hostname=NODES[0])))
    search = " ".join(("svc." + CLUSTER_DOMAIN, CLUSTER_DOMAIN))
    (folder / "resolv.conf").write_text(
        f"search {search}\nnameserver {network.DNS_SERVICE}\noptions ndots:5 timeout:2 attempts:2\n"
    )
