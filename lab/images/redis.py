"""Stand-ins for the published Redis and Valkey images: the same names, users and commands, Debian's programs.

What runs in a stand-in must run in the real image, so each holds what the real one holds and no more: the Alpine one
BusyBox, the Debian ones dash and the GNU tools; Valkey's only programs of its own name (the real image also has
links of the Redis names: without them the harder case is tested). Redis 7 is Debian's 7.0, the real tag is 7.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.building import file_hash
from lab.images import archive, debian, trees
from lab.images.recipe import Settings, source_of, write_tree

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENTRYPOINT = Path(__file__).parent / "src/docker-entrypoint.sh"
_LEAVE_OUT = ("./usr/share", "./usr/include", "./usr/libexec", "./sbin", "./usr/sbin", "./var", "./etc/?*")
# What the packages depend on to be installed and run as services, and no program here ever runs.
_WITHOUT = (
    "adduser", "base-files", "base-passwd", "debconf", "dpkg", "init-system-helpers", "libpam-modules",
    "libpam-modules-bin", "libpam-runtime", "login.defs", "lsb-base", "openssl-provider-legacy", "passwd", "perl",
    "perl-base", "perl-modules-5.36", "sysvinit-utils", "usrmerge",
)  # fmt: skip
_GNU_TOOLS = (
    "bash", "coreutils", "dash", "debianutils", "diffutils", "findutils", "grep", "hostname", "libc-bin", "mawk", "sed",
    "tar", "util-linux",
)  # fmt: skip


@dataclass(frozen=True)
class RedisImage:
    """One stand-in.

    `family` is "redis" or "valkey": the prefix of its programs and the name of its account. `group` is the account's
    group id, which differs between the published Alpine and Debian images (their Dockerfiles). `busybox` decides
    between Alpine's and Debian's tools.
    """

    name: str
    tags: tuple[str, ...]
    suite: str
    family: str
    group: int
    busybox: bool

    needs = ()

    def inputs(self) -> Mapping[str, object]:
        """Versions of all packages, and the code that makes an image of them."""
        return {
            "packages": [(package.name, package.version) for package in self._packages()],
            "image": [self.tags, self.family, self.group, self.busybox],
            "sources": [
                file_hash(_ENTRYPOINT),
                *map(source_of, (__name__, trees.__name__, archive.__name__)),
            ],
        }

    def build(self, target: Path, *, work: Path) -> None:
        """See Recipe; raises LabError when a package does not hold what it should."""
        tree = work / "tree"
        packages, tools = self._packages(), self._tools()
        wanted = [package for package in packages if package.name in tools]
        libraries = [package for package in packages if package.name not in tools]
        debian.unpack(wanted, tree, leave_out=_LEAVE_OUT)
        debian.unpack(libraries, tree, leave_out=(*_LEAVE_OUT, "./bin", "./usr/bin"))
        self._place_programs(tree)
        trees.keep_needed_libraries(tree, trees.dynamic_programs(tree / "usr/bin", tree / "usr/local/bin"))
        trees.furnish(tree, users={self.family: (999, self.group)})
        if self.busybox:
            trees.install_busybox(tree)
        else:
            (tree / "usr/bin/awk").symlink_to("mawk")  # links that Debian's alternatives would make
            (tree / "usr/bin/which").symlink_to("which.debianutils")
        self._place_entrypoint(tree)
        (tree / "data").mkdir()
        write_tree(
            target,
            tree,
            tags=self.tags,
            settings=Settings(
                entrypoint=("docker-entrypoint.sh",),
                command=(f"{self.family}-server",),
                environment={"PATH": _PATH},
                folder="/data",
                ports=("6379/tcp",),
                volumes=("/data",),
            ),
            owners=archive.Owners({"/data": (999, self.group)}),
        )

    def _packages(self) -> tuple[debian.Package, ...]:
        wanted = dict.fromkeys((*self._tools(), "libc-bin"))
        # libc-bin holds the locale C.UTF-8, without which Redis 8 refuses to start where LANG names it.
        return debian.Suite(self.suite).packages(tuple(wanted), without=_WITHOUT)

    def _tools(self) -> tuple[str, ...]:
        """The packages whose programs are wanted; the others are there for their libraries."""
        tools = ("busybox-static",) if self.busybox else _GNU_TOOLS
        return (f"{self.family}-server", f"{self.family}-tools", *tools)

    def _place_programs(self, tree: Path) -> None:
        """As published: all in /usr/local/bin, the server a file, and everything that it also is a link to it.

        Debian's file is called check-rdb, and the server is a link to that.
        """
        source, target = tree / "usr/bin", tree / "usr/local/bin"
        target.mkdir(parents=True)
        server = target / f"{self.family}-server"
        (source / f"{self.family}-check-rdb").rename(server)
        for name in ("benchmark", "cli"):
            (source / f"{self.family}-{name}").rename(target / f"{self.family}-{name}")
        for name in ("sentinel", "check-aof", "check-rdb"):
            trees.remove(source / f"{self.family}-{name}")
            (target / f"{self.family}-{name}").symlink_to(server.name)
        trees.remove(source / f"{self.family}-server")

    def _place_entrypoint(self, tree: Path) -> None:
        account = self.family
        become = (
            f'su -s /bin/sh -c \'exec "$0" "$@"\' -- {account}'
            if self.busybox
            else f"setpriv --reuid={account} --regid={account} --clear-groups"
        )
        text = _ENTRYPOINT.read_text().split("\n")
        body = "\n".join(line for line in text if not line.startswith("# SERVER"))
        for word, value in (("SERVER", f"{self.family}-server"), ("ACCOUNT", account), ("BECOME", become)):
            body = body.replace(word, value)
        script = tree / "usr/local/bin/docker-entrypoint.sh"
        script.write_text(body)
        script.chmod(0o755)


REDIS_IMAGES = (
    RedisImage(
        name="redis-7",
        tags=("docker.io/library/redis:7-alpine",),
        suite="bookworm",
        family="redis",
        group=1000,
        busybox=True,
    ),
    RedisImage(
        name="redis-8",
        tags=("docker.io/library/redis:8",),
        suite="trixie",
        family="redis",
        group=999,
        busybox=False,
    ),
    RedisImage(
        name="valkey-9",
        tags=("docker.io/valkey/valkey:9",),
        suite="forky",
        family="valkey",
        group=999,
        busybox=False,
    ),
)
