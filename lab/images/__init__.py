"""Container images of the laboratory, made on this machine and kept by the hash of what they are made of.

- archive: the docker-archive format
- debian: programs from any Debian suite, with an apt state of its own
- trees: file trees of images
- recipe: what an image is, its inputs and its build
- small: pause, CoreDNS
- redis: stand-ins for the published Redis and Valkey images
- python: the base of the project's own images
- builder: buildah, with a storage of its own
- project: the operator and the Contex stand-in, from the project's Dockerfiles
- catalogue: all of them
- command: `python -m lab images`
"""

from lab.images.archive import Image
from lab.images.catalogue import images
from lab.images.command import main

__all__ = ["Image", "images", "main"]
