"""Where the API server is and who we are: from the pod's ServiceAccount or from a kubeconfig."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.kube_config import load_kube_config

from contex_operator.errors import Unreachable

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECTIONS: Final = 20


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the API is and who we are.

    `kubeconfig` None means: the pod's own ServiceAccount where there is one (KUBERNETES_SERVICE_HOST is set),
    else $KUBECONFIG or ~/.kube/config. `context` None is the kubeconfig's current one.
    """

    kubeconfig: str | None = None
    context: str | None = None
    token_file: Path = SERVICE_ACCOUNT / "token"
    ca_file: Path = SERVICE_ACCOUNT / "ca.crt"

    @property
    def is_in_cluster(self) -> bool:
        return self.kubeconfig is None and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def in_cluster_url() -> str:
    """The API server for a pod, by its address: the operator has to work where names cannot be resolved. Raises
    KeyError outside of a cluster.
    """
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = os.environ.get("KUBERNETES_SERVICE_PORT") or "443"
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


async def load(access: Access) -> Configuration:
    """Host, CA and credentials of `access`; raises Unreachable with what is missing."""
    # A kubeconfig's proxy-url is honoured; proxies (and the .netrc) of the environment are somebody else's.
    configuration = Configuration(
        connection_pool_maxsize=CONNECTIONS, client_session_kwargs={"trust_env": False}
    )
    # Python 3.13 refuses CAs without the key identifiers of RFC 5280, which many clusters have
    # (kubernetes-client/python#2394); chain and host name are verified all the same.
    configuration.disable_strict_ssl_verification = True
    try:
        if access.is_in_cluster:
            _load_service_account(configuration, access)
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=_existing_kubeconfig(access),
                context=access.context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, OSError, TypeError, ValueError) as error:
        source = "the pod's ServiceAccount" if access.is_in_cluster else _kubeconfig(access)
        raise Unreachable(f"no usable credentials for the Kubernetes API in {source}: {error}") from error
    return configuration


def _kubeconfig(access: Access) -> str:
    return access.kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def _existing_kubeconfig(access: Access) -> str:
    paths = _kubeconfig(access)
    if not any(Path(path).is_file() for path in paths.split(os.pathsep) if path):
        raise OSError("there is no such file")
    return paths


def _load_service_account(configuration: Configuration, access: Access) -> None:
    configuration.host = in_cluster_url()
    configuration.ssl_ca_cert = str(access.ca_file)
    token = _TokenFile(access.token_file)
    token.refresh(configuration)
    # The transport calls it before each request.
    configuration.refresh_api_key_hook = token.refresh  # type: ignore[assignment]


class _TokenFile:
    """A projected token: kubelet swaps the file before it expires, so a changed file is read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def refresh(self, configuration: Configuration) -> None:
        """Put the present token into `configuration`; an unchanged file costs one stat."""
        stat = self._path.stat()
        if (seen := (stat.st_ino, stat.st_mtime_ns)) == self._seen:
            return
        token = self._path.read_text(encoding="ascii").strip()
        if not token:
            raise OSError(f"{self._path} is empty")
        configuration.api_key["BearerToken"] = f"Bearer {token}"
        self._seen = seen
