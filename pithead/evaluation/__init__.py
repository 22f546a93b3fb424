"""How good a detector is on labelled scenes, measured through the real scan path.

Every number comes of whole scenes, seams and lines included, in the square metres of the detector's grid.

>>> result = evaluate_scene(path, labels, detector, gsd_m=None)
>>> summary([result], detector.card)["classes"]["coal_heap"]["ap50"]

What another program found is measured by the same rules: `result_of` takes its boxes. `compare` says which of
two is better, and how surely.
"""

from pithead.evaluation.breakdown import by_circumstance, by_size
from pithead.evaluation.curve import curves
from pithead.evaluation.errors import class_errors
from pithead.evaluation.figures import (
    BUDGETS,
    COLUMNS,
    best_thresholds,
    calibrate,
    calibration_errors,
    summary,
    thresholds_within,
)
from pithead.evaluation.jobs import (
    Job,
    jobs_of,
    keep_results,
    kept_results,
    kept_scenes,
    labelled_scenes,
    measure,
    measured,
    whole_scenes,
)
from pithead.evaluation.output import account, write_account
from pithead.evaluation.result import (
    IOUS,
    Circumstances,
    Course,
    Found,
    SceneResult,
    Shown,
    from_record,
    to_record,
)
from pithead.evaluation.sampling import Difference, compare, intervals, verdict
from pithead.evaluation.scene import FLOOR, LADDER, STRIP_FLOOR, Given, Sensitive, evaluate_scene, result_of

__all__ = [
    "BUDGETS",
    "COLUMNS",
    "FLOOR",
    "IOUS",
    "LADDER",
    "STRIP_FLOOR",
    "Circumstances",
    "Course",
    "Difference",
    "Found",
    "Given",
    "Job",
    "SceneResult",
    "Sensitive",
    "Shown",
    "account",
    "best_thresholds",
    "by_circumstance",
    "by_size",
    "calibrate",
    "calibration_errors",
    "class_errors",
    "compare",
    "curves",
    "evaluate_scene",
    "from_record",
    "intervals",
    "jobs_of",
    "keep_results",
    "kept_results",
    "kept_scenes",
    "labelled_scenes",
    "measure",
    "measured",
    "result_of",
    "summary",
    "thresholds_within",
    "to_record",
    "verdict",
    "whole_scenes",
    "write_account",
]
