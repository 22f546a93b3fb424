"""Where in the log of the archive it stands what a dossier rests on."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pithead.evidence import Log, Record
from pithead.review import GIVEN, Review
from pithead.sites import Chronicle


@dataclass(frozen=True, slots=True)
class Said:
    """The last review of a detection, and its record."""

    reviewer: str
    decision: str
    record: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Numbers of records by what they tell of; what the log does not tell is missing."""

    added: Mapping[str, int] = field(default_factory=dict, hash=False)
    """When each scene was taken in, by sha256."""
    scored: Mapping[str, int] = field(default_factory=dict, hash=False)
    """When the weights scored it."""
    weights: int | None = None
    """When they were registered."""
    reviews: Mapping[str, Said] = field(default_factory=dict, hash=False)
    """By detection."""
    last: int | None = None
    """The last of these records; what came after it changes nothing here."""
    time: str = ""
    """When that was."""

    @property
    def by_reviewer(self) -> Mapping[str, Mapping[str, int]]:
        """How many decisions of each kind everybody has made, by name."""
        counts: dict[str, Counter[str]] = {}
        for said in self.reviews.values():
            counts.setdefault(said.reviewer, Counter())[said.decision] += 1
        return dict(sorted(counts.items()))


def sources_of(log: Log, chronicle: Chronicle) -> Sources:
    """Find what a history rests on.

    Raises:
        EvidenceError: A link of the log is broken.
    """
    views = {one.scene_sha256: one for one in chronicle.views}
    detections = {s.detection for one in chronicle.views for s in (*one.sightings, *one.rejected)}
    added: dict[str, int] = {}
    scored: dict[str, int] = {}
    weights: int | None = None
    said: dict[str, Said] = {}
    last: Record | None = None
    for record in log.records():
        facts = record.facts or {}
        sha256 = facts.get("scene_sha256")
        mine = True
        if record.kind == "scene.added" and sha256 in views:
            added[str(sha256)] = record.seq
        elif record.kind == "run.finished" and sha256 in views and _is(facts, chronicle, str(sha256)):
            scored[str(sha256)] = record.seq
        elif record.kind == "weights.registered" and facts.get("weights_sha256") == chronicle.weights_sha256:
            weights = record.seq
        elif record.kind == GIVEN and facts.get("detection") in detections:
            review = Review.of(record)
            said[review.detection] = Said(review.reviewer, review.decision, record.seq)
        else:
            mine = False
        last = record if mine else last
    if last is None:
        return Sources()
    return Sources(added, scored, weights, said, last.seq, last.time[:19].replace("T", " "))


def _is(facts: Mapping[str, object], chronicle: Chronicle, sha256: str) -> bool:
    """Whether a run is the one that the view of a scene tells of."""
    options = {one.options_sha256 for one in chronicle.views if one.scene_sha256 == sha256}
    known = facts.get("weights_sha256") == chronicle.weights_sha256
    return known and ("" in options or facts.get("options_sha256") in options)
