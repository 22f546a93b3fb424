"""The images that labels belong to: found in a folder by name, with their sizes and places on the map."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import geopandas as gpd
import shapely

from pithead.errors import LabelError, SceneError
from pithead.imagery import Place, place_of

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".png", ".jpg", ".jpeg", ".webp")


class Places:
    """Images of a folder by name without suffix; opened when they are asked for."""

    def __init__(self, folder: Path | None) -> None:
        """Take the images of a folder, or none.

        Raises:
            LabelError: no such folder, or two images of one name.
        """
        self._folder = folder
        self._paths: dict[str, Path] = {}
        for path in images_of(folder) if folder is not None else ():
            self._paths[path.stem] = path
        self._of = cache(place_of)

    def __iter__(self) -> Iterator[str]:
        """The names in order."""
        return iter(self._paths)

    def of(self, image: str, where: str) -> Place:
        """Where an image lies; `where` says in a message what named it.

        Raises:
            LabelError: no such image, or one that cannot be read.
        """
        path = self._paths.get(image) or self._paths.get(Path(image).stem)
        if path is None:
            folder = self._folder or "no folder of images given"
            raise LabelError(f"{where}: image {image} is not there ({folder}): give the folder that holds it")
        try:
            return self._of(path)
        except SceneError as error:
            raise LabelError(f"{where}: {error}") from error

    def size(self, image: str, where: str) -> tuple[int, int]:
        """(width, height) of an image in px; (0, 0) where no folder was given.

        Raises:
            LabelError: no such image in the folder.
        """
        if self._folder is None:
            return (0, 0)
        place = self.of(image, where)
        return (place.width, place.height)

    def holding(self, point: shapely.Point, crs: object, where: str) -> list[str]:
        """The images whose ground holds a point of a coordinate system."""
        found = []
        for image in self._paths:
            place = self.of(image, where)
            if place.crs is not None:
                moved = gpd.GeoSeries([point], crs=crs).to_crs(place.crs_wkt)
                x, y = place.from_map([[moved.x.iloc[0], moved.y.iloc[0]]])[0]
                if 0 <= x <= place.width and 0 <= y <= place.height:
                    found.append(image)
        return found


def images_of(folder: Path) -> list[Path]:
    """The images of a folder, ordered by name.

    Raises:
        LabelError: no such folder, no image in it, or two of one name.
    """
    if not folder.is_dir():
        raise LabelError(f"a folder of images is needed; {folder} is none: check the path")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    stems = [path.stem for path in found]
    double = next((stem for stem in stems if stems.count(stem) > 1), None)
    if double is not None:
        raise LabelError(f"{folder}: images have different names; {double} is there twice: rename one")
    return found
