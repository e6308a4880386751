"""The files in `templates/`: as Jinja templates of YAML and redis.conf, and as scripts that go as they are.

Called by render, and by nothing else.
"""

from __future__ import annotations

import functools
from importlib import resources as package_files
from typing import Any, Final

import jinja2
import yaml

# Every reconcile renders everything: libyaml's parser takes a tenth of the time of the one in Python.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(text: str) -> list[dict[str, Any]]:
    """The objects of a rendered template; empty documents are none."""
    return [body for body in yaml.load_all(text, Loader=_LOADER) if body]


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader(__package__, "templates"),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, and every value goes through tojson
        keep_trailing_newline=True,
    )


def load_template(name: str) -> jinja2.Template:
    """One of the templates; a name that it uses and is not given is an error."""
    return _environment().get_template(name)


def script(name: str) -> str:
    """The text of a script of the pods."""
    return (package_files.files(__package__) / "templates" / name).read_text(encoding="utf-8")
