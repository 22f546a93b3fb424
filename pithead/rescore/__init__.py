"""Score the scenes of an archive again: what to do, who does it, and how far it is.

A scene is scored if there is no finished record for its bytes, the weights' bytes and the options. Workers of
this machine or of a cluster do the same tasks and leave the same bytes.
"""

from pithead.rescore.archive import Archive
from pithead.rescore.board import Board
from pithead.rescore.choice import Choice
from pithead.rescore.crew import Crew
from pithead.rescore.drive import drive, reconcile
from pithead.rescore.local import LocalCrew, Shell, cores, gpus
from pithead.rescore.options import Options
from pithead.rescore.plan import Plan, plan
from pithead.rescore.tally import Tally
from pithead.rescore.task import Job, Outcome, Task
from pithead.rescore.worker import Worker

__all__ = [
    "Archive",
    "Board",
    "Choice",
    "Crew",
    "Job",
    "LocalCrew",
    "Options",
    "Outcome",
    "Plan",
    "Shell",
    "Tally",
    "Task",
    "Worker",
    "cores",
    "drive",
    "gpus",
    "plan",
    "reconcile",
]
