"""What leaves an archive says which camp is meant as the archive knows it now."""

# ruff: noqa: F811 (the fixtures of another module)
import json
from pathlib import Path

from conftest import MakeOnnx
from shapely.geometry import MultiPolygon, box, mapping
from test_rescore import OPTIONS, archive, give_review, scored, weights  # noqa: F401

from pithead.aoi import Aoi
from pithead.files import sha256_of
from pithead.rescore import Archive, Choice
from pithead.rescore.export import export
from pithead.rescore.intake import use_sites
from pithead.review import GIVEN


def put_sites(archive: Archive, **shares: tuple[float, float]) -> None:
    """Sites that take the frame of the scenes from one share of its width to another."""
    footprint = archive.catalog.scenes()[0].footprint
    assert footprint is not None
    west, south, east, north = footprint.bounds
    features = [
        {
            "type": "Feature",
            "geometry": mapping(box(west + a * (east - west), south, west + b * (east - west), north)),
            "properties": {"name": name},
        }
        for name, (a, b) in shares.items()
    ]
    path = archive.folder.parent / "sites.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    use_sites(archive, path)


def test_sites_that_come_after_the_scores_are_exported_whole(
    archive: Archive, weights: Path, tmp_path: Path
) -> None:
    scored(archive, weights)
    left = export(archive, tmp_path / "all.geojson", Choice()).detections
    put_sites(archive, east=(0.5, 1.0), west=(0.0, 0.5))
    for name in ("east", "west"):
        out = tmp_path / f"{name}.geojson"
        made = export(archive, out, Choice(site=name))
        features = json.loads(out.read_text())["features"]
        assert made.scenes == 3
        assert 0 < made.detections == len(features)
        assert {one["properties"]["site"] for one in features} == {name}
        left -= made.detections
    assert left == 0
    put_sites(archive, north=(0.0, 0.5))  # another name for the same place
    assert export(archive, tmp_path / "north.geojson", Choice(site="north")) == made


def half(archive: Archive) -> Aoi:
    """The west of the scenes but for the line at which the east begins."""
    footprint = archive.catalog.scenes()[0].footprint
    assert footprint is not None
    west, south, east, north = footprint.bounds
    return Aoi("west", MultiPolygon([box(west, south, west + 0.4 * (east - west), north)]), "OGC:CRS84")


def test_what_was_said_of_the_detections_of_other_weights_goes_out_with_its_place(
    archive: Archive, weights: Path, make_onnx: MakeOnnx, tmp_path: Path
) -> None:
    put_sites(archive, east=(0.5, 1.0), west=(0.0, 0.5))
    scored(archive, make_onnx([[100, 100, 60, 30, 0.3, 0.9, 1]], name="other.onnx"))
    rows = archive.store.detections()
    area = half(archive)
    give_review(archive, rows.loc[rows.bounds["minx"].idxmin()])
    give_review(archive, rows.loc[rows.bounds["maxx"].idxmax()])
    scored(archive, weights)
    kind = sha256_of(weights), OPTIONS.sha256
    for choice, said in ((Choice(site="west"), 1), (Choice(area=area), 1), (Choice(), 2)):
        export(archive, tmp_path / "some.csv", choice, kind)
        chain = map(json.loads, (tmp_path / "some.csv.chain.jsonl").read_text().splitlines())
        assert sum(one["kind"] == GIVEN and "facts" in one for one in chain) == said, choice


def test_an_export_of_an_area_does_not_name_the_camps_beside_it(
    archive: Archive, weights: Path, tmp_path: Path
) -> None:
    put_sites(archive, east=(0.5, 1.0), west=(0.0, 0.5))
    scored(archive, weights)
    for choice, named in ((Choice(area=half(archive)), "west"), (Choice(), "east; west")):
        export(archive, tmp_path / "some.geojson", choice)
        lines = (tmp_path / "some.geojson.scenes.csv").read_text().splitlines()[1:]
        assert len(lines) == 3
        assert all(f",{named}," in line for line in lines)
