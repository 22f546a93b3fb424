"""Kill an archive's run again and again, and hold what it leaves against a run that nobody disturbed.

    benchmarks/archive_faults.py SCENES --kills 50 --seed 1            workers and driver of one machine
    benchmarks/archive_faults.py SCENES --kills 50 --seed 1 --ray      and the nodes of a cluster

Every kill is SIGKILL, at a random moment, of a worker, of the driver, or (with --ray) of a node with all of
its processes. The store must have every scene once, with the bytes of the undisturbed run, and the log must
hold together.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from pithead.errors import SceneError
from pithead.program import run
from pithead.rescore import Archive
from pithead.rescore.upkeep import check

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "inference" / "rescore.py"
VARYING = ("host", "started", "seconds")

app = App(name="archive_faults.py")


@app.default
def faults(
    scenes: Path,
    *,
    count: int = 40,
    kills: int = 50,
    seed: int = 1,
    ray: Annotated[bool, Parameter(negative="")] = False,
    weights: Path = ROOT / "weights" / "starter.onnx",
    part_tiles: int = 4,
) -> None:
    """Kill a run KILLS times, and compare.

    Parameters
    ----------
    scenes:
        A folder of GeoTIFFs, such as datasets/generate.py makes.
    count:
        So many of them, the first by name.
    part_tiles:
        Tiles of a part: few, so that scenes are killed in the middle.
    """
    chosen = sorted(scenes.glob("*.tif"))[:count]
    if len(chosen) < count:
        raise SceneError(f"{scenes}: expected {count} scenes, got {len(chosen)}")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        fresh, quiet = base / "fresh", base / "quiet"
        _call(fresh, "--add", *map(str, chosen))
        shutil.copytree(fresh, quiet)
        options = ["--weights", str(weights), "--part-tiles", str(part_tiles), "--workers", "2"]
        began = time.monotonic()
        _call(quiet, *options)
        length_s = time.monotonic() - began
        print(f"undisturbed: {length_s:.1f} s")
        chance = random.Random(seed)  # noqa: S311 (kills that can be repeated)
        killer = _Killer(chance, fresh, options, length_s)
        done = killer.with_ray(kills) if ray else killer.alone(kills)
        print(f"killed: {dict(done)}, in {killer.runs} runs")
        _call(fresh, *options, "--retry-failed")
        _compare(quiet, fresh, len(chosen))


class _Killer:
    """Starts a run and kills of it what chance says, until it has killed often enough."""

    def __init__(self, chance: random.Random, archive: Path, options: list[str], length_s: float) -> None:
        self._chance, self._archive, self._options, self._length_s = chance, archive, options, length_s
        self.runs = 0

    def alone(self, kills: int) -> Counter[str]:
        done: Counter[str] = Counter()
        while done.total() < kills:
            driver = self._start()
            while driver.poll() is None and done.total() < kills:
                time.sleep(self._chance.uniform(0.2, self._length_s / 3))
                workers = [pid for pid in _children(driver.pid) if _is_worker(pid)]
                if driver.poll() is not None:
                    break
                if workers and self._chance.random() < 0.6:
                    os.kill(self._chance.choice(workers), signal.SIGKILL)
                    done["worker"] += 1
                else:
                    driver.kill()
                    done["driver"] += 1
            driver.kill()
            driver.wait()
            self._begin_again_if_done()
        return done

    def with_ray(self, kills: int) -> Counter[str]:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster  # noqa: PLC0415 (only with --ray)

        done: Counter[str] = Counter()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        try:
            while done.total() < kills:
                driver = self._start("--ray", cluster.address)
                while driver.poll() is None and done.total() < kills:
                    time.sleep(self._chance.uniform(1.0, 4 + self._length_s / 2))
                    if driver.poll() is None:
                        done[self._kill_of_cluster(driver, cluster, nodes)] += 1
                driver.kill()
                driver.wait()
                self._begin_again_if_done()
        finally:
            cluster.shutdown()
        return done

    def _kill_of_cluster(self, driver: subprocess.Popen[bytes], cluster: Any, nodes: list[Any]) -> str:  # noqa: ANN401
        what = self._chance.choice(["worker", "driver", "node"])
        actors = _actors()
        if what == "worker" and actors:
            os.kill(self._chance.choice(actors), signal.SIGKILL)
            return "worker"
        if what == "node":
            node = nodes.pop(self._chance.randrange(len(nodes)))
            cluster.remove_node(node, allow_graceful=False)
            nodes.append(cluster.add_node(num_cpus=1))
            return "node"
        driver.kill()
        return "driver"

    def _start(self, *more: str) -> subprocess.Popen[bytes]:
        self.runs += 1
        call = [sys.executable, str(PROGRAM), str(self._archive), *self._options, "--retry-failed", *more]
        return subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603

    def _begin_again_if_done(self) -> None:
        """When everything is scored before enough was killed, half of the results are taken away."""
        archive = Archive.open(self._archive)
        records = list(archive.store.records())
        if len(records) == len(archive.catalog.scenes()):
            for record in self._chance.sample(records, len(records) // 2):
                archive.store.forget(record)


def _call(archive: Path, *more: str) -> None:
    subprocess.run(  # noqa: S603
        [sys.executable, str(PROGRAM), str(archive), *more], check=True, stdout=subprocess.DEVNULL
    )


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in tasks.read_text().split()]
    except FileNotFoundError:
        return []


def _is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _actors() -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes().startswith(b"ray::_Actor") and _is_ours(process.name):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def _is_ours(number: str) -> bool:
    """Whether a process descends from this one: another's cluster may run on this machine."""
    while number not in {"0", "1"}:
        if int(number) == os.getpid():
            return True
        status = (Path("/proc") / number / "status").read_text().splitlines()
        number = next(line for line in status if line.startswith("PPid:")).split()[1]
    return False


def _compare(quiet: Path, fresh: Path, scenes: int) -> None:
    """Hold the two stores against each other, byte for byte."""
    one, other = _content(quiet / "store"), _content(fresh / "store")
    differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    records = sum(name.startswith("runs/") for name in other)
    broken = check(Archive.open(fresh))
    print(f"{len(other)} files, {records} records of {scenes} scenes; {len(differing)} files differ")
    print(f"faults in log, store and scenes: {len(broken)}")
    for line in [*differing[:5], *broken[:5]]:
        print(f"  {line}")
    if differing or broken or records != scenes:
        raise SceneError("expected the store of the undisturbed run, got another one")


def _content(store: Path) -> dict[str, bytes]:
    files = {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}
    for name in [name for name in files if name.startswith("runs/")]:
        facts = json.loads(files[name])
        files[name] = json.dumps({key: v for key, v in facts.items() if key not in VARYING}).encode()
    return files


if __name__ == "__main__":
    run(app)
