"""All images of the laboratory: which there are, which of them is already made, and the making of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.building import exclusive, work_folder
from lab.errors import LabError
from lab.images.archive import Image, read_image
from lab.images.project import project_images
from lab.images.recipe import Recipe, archive_of
from lab.images.redis import REDIS_IMAGES
from lab.images.small import CorednsImage, PauseImage
from lab.progress import Step

# Older archives of the same name that stay: another branch or clone may be using them.
_KEPT = 3
# Builds of an image whose files change while it is made.
_ATTEMPTS = 3


def all_recipes() -> tuple[Recipe, ...]:
    """Every image that a laboratory's nodes may run, in the order in which they are made."""
    return (PauseImage(), CorednsImage(), *REDIS_IMAGES, *project_images())


def images(names: Sequence[str] = ()) -> list[Image]:
    """Make what is missing (all images, or those named) and return them; what did not change is not made again.

    Raises LabError for an unknown name or where the tools are not built yet, BuildFailed when a build fails.
    """
    recipes = all_recipes()
    known = {recipe.name for recipe in recipes}
    unknown = sorted(set(names) - known)
    if unknown:
        raise LabError(
            f"{', '.join(unknown)} is no image of the laboratory; there are {', '.join(sorted(known))}"
        )
    wanted = [recipe for recipe in recipes if not names or recipe.name in names]
    return [_image(recipe, number=number, of=len(wanted)) for number, recipe in enumerate(wanted, start=1)]


def _image(recipe: Recipe, *, number: int, of: int) -> Image:
    for need in recipe.needs:
        _image(need, number=number, of=of)
    target = archive_of(recipe)
    if not target.exists():
        with exclusive(f"image-{recipe.name}"):
            target = _make(recipe, number=number, of=of)
    return read_image(target, name=recipe.name)


def _make(recipe: Recipe, *, number: int, of: int) -> Path:
    """Make the archive, unless somebody else has by now, and return it."""
    for _ in range(_ATTEMPTS):
        target = archive_of(recipe)
        if target.exists():
            return target
        with (
            Step(f"image {recipe.tags[0]}", number=number, of=of),
            work_folder(target.parent, label=recipe.name) as work,
        ):
            made = work / "image.tar"
            recipe.build(made, work=work)
            # A file that was saved meanwhile may be in the archive or not: its name must not claim either.
            if archive_of(recipe) == target:
                made.rename(target)
                _remove_old(recipe, newest=target)
                return target
    raise LabError(f"the files of the image {recipe.tags[0]} kept changing while it was made; try again")


def _remove_old(recipe: Recipe, *, newest: Path) -> None:
    older = sorted(
        (path for path in newest.parent.glob(f"{recipe.name}-*.tar") if path != newest),
        key=lambda path: path.stat().st_mtime,
        reverse=True,
    )
    for path in older[_KEPT:]:
        path.unlink()
