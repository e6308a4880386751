"""Every error that the operator raises itself, drawn once.

    OperatorError                 the root: whoever catches it catches all of ours and nothing else
    ├── SpecError                 the resource asks for what cannot be: path and sentence, never retried
    ├── NameTaken                 a child's name belongs to somebody else: nothing was written
    ├── ConfigRefused             a node does not take a directive: nothing was changed
    ├── LeaseLost                 this process may not write now: another one may be leading
    ├── ScopeTaken                a second cluster-wide operator: this one must not run
    ├── KubeError                 the Kubernetes API said no, or said nothing
    │   ├── NotFound              404
    │   ├── Forbidden             403: a right is missing in the Role
    │   ├── Conflict              409: the object has changed since it was read, or a field is another's
    │   │   └── AlreadyExists     409, reason AlreadyExists: create() met an object of that name
    │   ├── Gone                  410: a resourceVersion or a continue token that is too old
    │   ├── TooManyRequests       429: the API sheds load, and asks for a longer pause than the deadline is
    │   └── Unreachable           no answer within the deadline: the request may have been carried out or not
    └── RedisError                a Redis, Valkey or Sentinel said no, or said nothing
        ├── RedisUnreachable      no answer; `kind` says how, only "refused" speaks for the process
        └── RedisAnswer           an error reply; `code` is its first word (READONLY, LOADING, NOAUTH, ...)

A message is one sentence that names what is wrong and what would be right, and it never contains a password.
Nothing here imports another module of the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

UnreachableKind = Literal["refused", "timeout", "closed", "other"]
UNREACHABLE_KINDS: Final[tuple[UnreachableKind, ...]] = ("refused", "timeout", "closed", "other")


class OperatorError(Exception):
    """The root of the tree."""


class SpecError(OperatorError):
    """The resource asks for something that cannot be.

    `path` is the JSON path of the field as people type it (`.spec.sentinel.quorum`), `message` the sentence
    without the path. Becomes the condition SpecValid=False and a Warning event; it is not retried until the
    resource changes.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class ConfigRefused(OperatorError):
    """A node does not take these directives, and keeps the values that it had; `said` is its answer."""

    def __init__(self, pod: str, directives: Iterable[str], said: str) -> None:
        super().__init__(
            f"{pod} does not take config {', '.join(directives)}, and nothing was changed: {said}"
        )


class NameTaken(OperatorError):
    """A child of this resource cannot be made: its name belongs to somebody else.

    `kind` and `name` are the existing object's, `owner` says in words whose it is
    ("ContexRedis redis-master", "nobody that this operator knows").
    """

    def __init__(self, kind: str, name: str, owner: str) -> None:
        super().__init__(
            f"{kind} {name} exists and belongs to {owner}; rename this ContexRedis or remove that object"
        )
        self.kind = kind
        self.name = name
        self.owner = owner


class LeaseLost(OperatorError):
    """A write was asked for while the Lease is not held, or with too little of it left."""


class ScopeTaken(OperatorError):
    """Another cluster-wide operator is alive in `namespace`; `holder` is the identity in its Lease."""

    def __init__(self, *, namespace: str, holder: str) -> None:
        super().__init__(
            f"another cluster-wide operator leads from namespace {namespace} ({holder}): "
            f"remove one of the two, or restrict one to its own namespace"
        )
        self.namespace = namespace
        self.holder = holder


class KubeError(OperatorError):
    """The Kubernetes API refused a request, or did not answer.

    `status` is the HTTP status, None where there was no answer. `reason` is the API's CamelCase word.
    `fields` are the paths that the API named as causes, in its spelling (".spec.replicas"): what another
    manager owns (Conflict), what is invalid (422).
    """

    def __init__(
        self, status: int | None, reason: str, message: str, *, fields: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{reason}: {message}" if status is None else f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.fields = fields


class NotFound(KubeError):
    """404: the object does not exist."""


class Forbidden(KubeError):
    """403: the ServiceAccount lacks a right, or an admission rule refused the object."""


class Conflict(KubeError):
    """409: the object is no longer what was read (resourceVersion, uid), or another manager owns a field."""


class AlreadyExists(Conflict):
    """409 with reason AlreadyExists: an object of that name was there first."""


class Gone(KubeError):
    """410: a resourceVersion or a continue token is too old, list again."""


class TooManyRequests(KubeError):
    """429: nothing was done; `retry_after_s` is the pause that the API asks for, None where it names none."""

    retry_after_s: float | None = None


class Unreachable(KubeError):
    """No answer from the API within the deadline; whether the request was carried out is unknown."""

    def __init__(self, message: str) -> None:
        super().__init__(None, "Unreachable", message)


class RedisError(OperatorError):
    """A data node or a sentinel refused a command, or did not answer. `address` is `host:port`."""

    def __init__(self, address: str, message: str) -> None:
        super().__init__(f"{address}: {message}")
        self.address = address
        self.message = message


class RedisUnreachable(RedisError):
    """No answer from a data node or a sentinel.

    `kind`: `refused` ECONNREFUSED on connecting, the only one that speaks for a dead process · `timeout`
    silence until the deadline · `closed` FIN or RST on a connection that stood · `other` everything else
    (EHOSTUNREACH, no route, no such name).
    """

    def __init__(self, address: str, kind: UnreachableKind, message: str) -> None:
        super().__init__(address, message)
        self.kind: UnreachableKind = kind


class RedisAnswer(RedisError):
    """An error reply. `code` is its first word, in capitals: READONLY, LOADING, NOAUTH, ERR ..."""

    def __init__(self, address: str, reply: str) -> None:
        super().__init__(address, reply)
        self.code = reply.split(" ", 1)[0].lstrip("-").upper()
