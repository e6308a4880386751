"""The control plane: etcd, API server, controller manager and scheduler in the host `control`."""

from __future__ import annotations

import json

from lab import network
from lab.hosts import CONTROL
from lab.layout import Layout, write_argv
from lab.pki import CONTROLLERS, SCHEDULER

BINARIES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
ETCD = "http://127.0.0.1:2379"
# A node counts as lost after 8 s (a real cluster's default is 50 s), so that tests of dead nodes stay short.
NODE_GRACE = "8s"
AUDIT_MEGABYTES, AUDIT_BACKUPS = 200, 2


def etcd_argv(lab: Layout) -> list[str]:
    """etcd; without fsync, since the laboratory's data need not survive a crash of the machine."""
    return [
        str(lab.bin / "etcd"),
        f"--data-dir={lab.host(CONTROL) / 'etcd'}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_argv(lab: Layout) -> list[str]:
    """The API server: RBAC, node authorizer, default admission (Pod Security included), audit log."""
    pki = lab.pki.path
    return [
        str(lab.bin / "kube-apiserver"),
        f"--etcd-servers={ETCD}",
        f"--advertise-address={network.ADDRESSES[CONTROL]}",
        "--bind-address=0.0.0.0",
        f"--secure-port={network.API_PORT}",
        f"--service-cluster-ip-range={network.SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={pki('ca.crt')}",
        f"--tls-cert-file={pki('apiserver.crt')}",
        f"--tls-private-key-file={pki('apiserver.key')}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki('sa.pub')}",
        f"--service-account-signing-key-file={pki('sa.key')}",
        f"--kubelet-client-certificate={pki('kubelet-client.crt')}",
        f"--kubelet-client-key={pki('kubelet-client.key')}",
        f"--kubelet-certificate-authority={pki('ca.crt')}",
        # There is no DNS for the nodes' names: without this, logs and exec fail.
        "--kubelet-preferred-address-types=InternalIP",
        # The control host has routes to pods but no rules for Services: webhooks are called at their endpoints.
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={pki('ca.crt')}",
        f"--proxy-client-cert-file={pki('front-proxy.crt')}",
        f"--proxy-client-key-file={pki('front-proxy.key')}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--audit-policy-file={lab.host(CONTROL) / 'audit-policy.json'}",
        f"--audit-log-path={lab.audit_log}",
        f"--audit-log-maxsize={AUDIT_MEGABYTES}",
        f"--audit-log-maxbackup={AUDIT_BACKUPS}",
    ]


def audit_policy() -> dict[str, object]:
    """Who did what to which object, for every request; a watch is logged when it starts and when it ends."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }


def controllers_argv(lab: Layout) -> list[str]:
    """The controller manager."""
    pki, kubeconfig = lab.pki.path, lab.pki.kubeconfig(CONTROLLERS)
    return [
        str(lab.bin / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--root-ca-file={pki('ca.crt')}",
        f"--service-account-private-key-file={pki('sa.key')}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        f"--cluster-cidr={network.POD_RANGE}",
        "--allocate-node-cidrs=false",
        f"--cluster-signing-cert-file={pki('ca.crt')}",
        f"--cluster-signing-key-file={pki('ca.key')}",
        "--node-monitor-period=1s",
        f"--node-monitor-grace-period={NODE_GRACE}",
        # The default of 20 requests a second stretches the making of its own 40 service accounts to 5 s.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]


def scheduler_argv(lab: Layout) -> list[str]:
    """The scheduler."""
    kubeconfig = lab.pki.kubeconfig(SCHEDULER)
    return [
        str(lab.bin / "kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
    ]


def write_files(lab: Layout) -> None:
    """Write all that the control host's init script reads."""
    folder = lab.host(CONTROL)
    write_argv(folder, "etcd", etcd_argv(lab))
    write_argv(folder, "apiserver", apiserver_argv(lab))
    write_argv(folder, "controllers", controllers_argv(lab))
    write_argv(folder, "scheduler", scheduler_argv(lab))
    (folder / "audit-policy.json").write_text(json.dumps(audit_policy()))
    (folder / "etcd").mkdir(mode=0o700)
    lab.audit_log.parent.mkdir()
