"""The real images, each entered as a pod would be: another user, a read-only root, no network."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.images import images
from lab.images.redis import REDIS_IMAGES, RedisImage
from lab.tools import tools
from tests.lab.imagefs import ImageFiles, unpack

REDIS = pytest.mark.parametrize("recipe", REDIS_IMAGES, ids=lambda recipe: recipe.name)
POD = "999:1000"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ImageFiles]:
    """An unpacked image by name, made if it is not there yet, unpacked once."""
    tools(["coredns"])
    unpacked: dict[str, ImageFiles] = {}

    def get(name: str) -> ImageFiles:
        if name not in unpacked:
            (made,) = images([name])
            unpacked[name] = unpack(made.path, tmp_path_factory.mktemp(name) / "root")
        return unpacked[name]

    return get


def said(done: subprocess.CompletedProcess[str]) -> str:
    """What a command wrote; it must have succeeded."""
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@REDIS
def test_server_serves(recipe: RedisImage, image: Callable[[str], ImageFiles]) -> None:
    files, family = image(recipe.name), recipe.family
    script = f"""
    {family}-server --version
    {family}-server --port 0 --unixsocket /dev/shm/s --save '' --dir /dev/shm >/dev/null &
    n=0
    until {family}-cli -s /dev/shm/s ping 2>/dev/null; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
    {family}-cli -s /dev/shm/s set key value
    {family}-cli -s /dev/shm/s eval 'return redis.call("get", KEYS[1])' 1 key
    cat /proc/$!/comm
    {family}-cli -s /dev/shm/s shutdown nosave
    wait
    """

    lines = said(files.run("sh", "-c", script, user=POD)).splitlines()

    major = recipe.name.rpartition("-")[2]
    assert f"v={major}." in lines[0]
    assert lines[1:] == ["PONG", "OK", "value", f"{family}-server"]


@REDIS
def test_sentinel_mode_starts_from_the_same_program(
    recipe: RedisImage, image: Callable[[str], ImageFiles]
) -> None:
    files, family = image(recipe.name), recipe.family
    script = f"""
    echo port 0 > /dev/shm/c; echo unixsocket /dev/shm/t >> /dev/shm/c
    {family}-sentinel /dev/shm/c > /dev/null &
    n=0
    until {family}-cli -s /dev/shm/t role 2>/dev/null; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
    kill $!
    """

    assert said(files.run("sh", "-c", script, user=POD)) == "sentinel"


@REDIS
def test_entry_point_does_as_published(recipe: RedisImage, image: Callable[[str], ImageFiles]) -> None:
    files, family = image(recipe.name), recipe.family

    assert files.config["Entrypoint"] == ["docker-entrypoint.sh"]
    assert files.config["Cmd"] == [f"{family}-server"]
    assert files.config["WorkingDir"] == "/data"
    assert f"{family.capitalize()} server v=" in said(
        files.run("docker-entrypoint.sh", "--version", user=POD)
    )
    assert said(files.run("docker-entrypoint.sh", "id", "-u", user=POD)) == "999"
    # Root gives the data to the account and becomes it; /dev/shm stands for the volume.
    script = f"""
    mkdir /dev/shm/v; cd /dev/shm/v; touch f
    docker-entrypoint.sh {family}-server --port 0 --save '' --unixsocket s --dir . > /dev/null &
    n=0
    until test -S s; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done
    stat -c %u . f
    grep -E '^(Uid|Umask)' /proc/$!/status
    kill $!
    wait
    """
    shown = said(files.run("sh", "-c", script, user="0:0")).split("\n")
    assert shown[:2] == ["999", "999"]
    assert shown[2].split() == ["Umask:", "0077"]
    assert shown[3].split()[1:] == ["999"] * 4


def test_stand_ins_hold_the_tools_of_the_real_images_and_no_more(image: Callable[[str], ImageFiles]) -> None:
    def present(name: str, *programs: str) -> list[str]:
        script = 'for p in "$@"; do if command -v "$p" > /dev/null; then echo "$p"; fi; done'
        return said(image(name).run("sh", "-c", script, "sh", *programs, user=POD)).split()

    everywhere = ["sed", "awk", "grep", "timeout", "sha1sum", "stat", "find", "hostname", "mktemp", "getent"]
    assert present("redis-7", *everywhere, "bash", "python3", "perl", "nc", "ps") == [
        *everywhere[:-1],
        "nc",
        "ps",
    ]
    for name in ("redis-8", "valkey-9"):
        assert present(name, *everywhere, "nc", "ps", "wget", "curl", "ip", "python3") == everywhere
    assert present("valkey-9", "redis-cli", "redis-server", "valkey-cli", "valkey-server") == [
        "valkey-cli",
        "valkey-server",
    ]
    assert Path(image("redis-7").root / "bin/sh").readlink() == Path("busybox")
    assert Path(image("redis-8").root / "bin/sh").readlink() == Path("dash")


@REDIS
def test_accounts_are_those_of_the_published_images(
    recipe: RedisImage, image: Callable[[str], ImageFiles]
) -> None:
    files = image(recipe.name)
    group = 1000 if recipe.name == "redis-7" else 999

    account = recipe.family
    assert said(files.run("id", account, user=POD)).split()[0] == f"uid=999({account})"
    data = (files.root / "data").stat()
    assert (data.st_uid, data.st_gid) == (999, group)


def test_operator_runs_as_its_user_on_a_read_only_root(image: Callable[[str], ImageFiles]) -> None:
    files = image("operator")
    script = (
        "import kopf, kubernetes.aio.client, kubernetes.aio.config, redis.asyncio, jinja2, yaml, prometheus_client\n"
        "import contex_operator, os, tempfile, pathlib\n"
        "assert contex_operator.__file__.startswith('/opt/contex/'), contex_operator.__file__\n"
        "print(os.getuid())\n"
        "try:\n    pathlib.Path('/opt/contex/x').touch()\nexcept OSError as error:\n    print(error.strerror)\n"
    )

    assert files.config["User"] == "65532:65532"
    assert files.config["Entrypoint"] == ["python", "-m", "contex_operator"]
    lines = said(files.run("python", "-c", script, user="65532:65532")).splitlines()
    assert lines == ["65532", "Read-only file system"]


def test_every_module_of_the_operator_loads_in_its_image(image: Callable[[str], ImageFiles]) -> None:
    script = (
        "import contex_operator, importlib, pkgutil\n"
        "names = [m.name for m in pkgutil.walk_packages(contex_operator.__path__, 'contex_operator.')]\n"
        "[importlib.import_module(name) for name in names if not name.endswith('__main__')]\n"
        "print(len(names))\n"
    )

    assert int(said(image("operator").run("python", "-c", script, user="65532:65532"))) > 20


def test_code_in_images_is_compiled(image: Callable[[str], ImageFiles]) -> None:
    script = (
        "import sys, importlib.util, json, kopf, contex_operator\n"
        "for module in (json, kopf, contex_operator):\n"
        "    print(module.__cached__ == importlib.util.cache_from_source(module.__file__))\n"
        "    open(module.__cached__, 'rb').close()\n"
    )

    assert said(image("operator").run("python", "-c", script, user="65532:65532")).split() == ["True"] * 3


def test_operator_image_is_small(image: Callable[[str], ImageFiles]) -> None:
    (made,) = images(["operator"])

    assert made.size < 100e6
    for needless in ("usr/share/doc", "var/lib/apt", "usr/bin/apt", "usr/bin/perl"):
        assert not (image("operator").root / needless).exists()


def test_contex_stand_in_reads_its_contract(image: Callable[[str], ImageFiles]) -> None:
    files = image("contex")
    done = files.run(
        "sh", "-c", "cd /app && REDIS_URL=redis://127.0.0.1:1 exec python main.py", user="1000:1000"
    )

    assert files.config["Cmd"] == ["python", "main.py"]
    assert files.config["WorkingDir"] == "/app"
    assert list(files.config["ExposedPorts"]) == ["8001/tcp"]
    assert "PYTHONPATH=/app" in files.config["Env"]
    assert done.returncode == 3, "Redis is not there, so it must say so and end"
    assert "Failed to connect to Redis" in done.stdout + done.stderr


def test_coredns_and_pause_start(image: Callable[[str], ImageFiles]) -> None:
    coredns, pause = image("coredns"), image("pause")

    for files, argv in ((coredns, ("/coredns", "-version")), (pause, ("/pause", "--version"))):
        (files.root / "proc").mkdir(exist_ok=True)
        (files.root / "dev").mkdir(exist_ok=True)
        if files is coredns:
            root = subprocess.run(["chroot", files.root, *argv], capture_output=True, text=True, check=False)
            assert "CoreDNS-1." in said(root)
    with subprocess.Popen(["chroot", "--userspec=65535:65535", pause.root, "/pause"]) as process:
        process.terminate()
        assert process.wait(timeout=10) in (0, -15)  # -15 when it was stopped before it was /pause
