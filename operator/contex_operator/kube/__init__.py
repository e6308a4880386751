"""The Kubernetes API, for everything else in the package: nothing but this package imports `kubernetes`.

    access      where the API is and who we are: ServiceAccount with its rotating token, kubeconfig
    transport   one request and its answer, within a deadline, past the guard; answers become errors
    client      Kube: the verbs, on plain dicts as the API spells them

The generated models of the `kubernetes` package are left alone: release 37 validates every answer with them
and drops the fields that it does not know, so that a read-modify-replace would lose them; and its dynamic
client writes a discovery cache file, which a read-only root filesystem refuses. What is used is its transport
(`aio.client.rest`), its configuration and its reading of a kubeconfig.
"""

from contex_operator.kube.access import Access, in_cluster_url
from contex_operator.kube.client import Body, Kube, Propagation
from contex_operator.kube.transport import DEADLINE_S, GUARDED_WRITE_DEADLINE_S, Guard

__all__ = [
    "DEADLINE_S",
    "GUARDED_WRITE_DEADLINE_S",
    "Access",
    "Body",
    "Guard",
    "Kube",
    "Propagation",
    "in_cluster_url",
]
