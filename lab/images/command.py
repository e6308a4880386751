"""`python -m lab images`: make what is missing and list all images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lab import packages, tools
from lab.images import debian
from lab.images.catalogue import all_recipes, images


def main(argv: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m lab images", description="Build the images.")
    known = ", ".join(recipe.name for recipe in all_recipes())
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these: {known}")
    parser.add_argument("--refresh", action="store_true", help="look for newer Debian packages first")
    args = parser.parse_args(argv)
    packages.install_missing()
    tools.tools(["coredns"])
    if args.refresh:
        debian.forget()
    for image in images(args.names):
        print(f"{image.tags[0]:52}{image.size / 1e6:7.1f} MB  {image.path}")
    return 0
