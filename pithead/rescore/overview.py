"""What an archive holds, in some lines."""

from collections import Counter
from collections.abc import Iterator

from pithead.rescore.archive import Archive


def overview(archive: Archive) -> Iterator[str]:
    """Scenes with their dates and ground, sites, and how many scenes each weights has scored."""
    scenes = archive.catalog.scenes()
    dates = sorted(entry.acquired for entry in scenes if entry.acquired is not None)
    spans = f", {dates[0]:%Y-%m-%d} to {dates[-1]:%Y-%m-%d}" if dates else ""
    undated = len(scenes) - len(dates)
    km2, changed = sum(entry.km2 for entry in scenes), sum(entry.changed for entry in scenes)
    yield (
        f"scenes: {len(scenes):,}, {km2:,.1f} km²{spans}, {undated} without a date, "
        f"{changed} changed since they were taken in"
    )
    shown = Counter(name for entry in scenes for name in entry.sites)
    for site in archive.catalog.sites():
        yield f"site: {site.name}, on {shown[site.name]} scenes"
    runs = Counter(
        (one.weights, one.weights_sha256[:12], one.options_sha256[:8]) for one in archive.store.records()
    )
    for (name, weights, options), count in sorted(runs.items()):
        yield f"scored: {count:,} scenes by {name} {weights} with options {options}"
    head = archive.log.head()
    yield "log: empty" if head is None else f"log: {head.seq + 1:,} records, head {head.hash}"
