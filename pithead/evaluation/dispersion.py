"""How much more scenes differ than chance alone would make them.

Objects of one scene share its light, its haze and its land: they are missed together and measured too large
together. Whoever adds up ten heaps of a scene as if each erred by itself is surer than he may be.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def of_recall(found: Bools, kinds: Ints, scenes: Ints) -> float:
    """The variance of how many are found in a scene, over that of independent chances; at least 1.

    Pearson's chi square over its degrees of freedom (P. McCullagh and J. Nelder: Generalized Linear Models,
    1989, 4.5). The chance of an object (N,) is the share that is found of its kind (its size); a scene of
    only sure or only hopeless objects says nothing. Two scenes of ten objects each, 10 and 0 found: 20.
    """
    if not len(found):
        return 1.0
    there = np.bincount(kinds)
    chance = np.divide(np.bincount(kinds, found), there, out=np.zeros(len(there)), where=there > 0)[kinds]
    hits, expected, variance = (
        np.bincount(scenes, each).astype(np.float64) for each in (found, chance, chance * (1 - chance))
    )
    return _chi_square(hits, expected, variance)


def of_counts(counts: Floats, km2: Floats) -> float:
    """The variance of false alarms (S,) of scenes of so many km² (S,) over that of chance; at least 1.

    By chance they would be Poisson, in proportion to the area. Scenes of 1 km² with 0 and 4 alarms: 4.
    """
    expected = km2 * counts.sum() / km2.sum()
    return _chi_square(counts, expected, expected)


def between(values: Floats, scenes: Ints) -> float:
    """The standard deviation (of N values) that all of a scene share: the part between scenes.

    From a one-way analysis of variance for groups of unequal size (S. Searle, G. Casella and C. McCulloch:
    Variance Components, 1992, 3.6); 0 where the means of scenes differ no more than chance makes them, or
    where nothing can be told. Values 0, 0, 1, 1 of two scenes, no scatter within: √½.
    """
    _, of, count = np.unique(scenes, return_inverse=True, return_counts=True)
    n, groups = len(values), len(count)
    if groups < 2 or n <= groups:
        return 0.0
    mean = np.bincount(of, values) / count
    within = float(((values - mean[of]) ** 2).sum() / (n - groups))
    among = float((count * (mean - values.mean()) ** 2).sum() / (groups - 1))
    size = (n - (count**2).sum() / n) / (groups - 1)
    return float(np.sqrt(max(0.0, (among - within) / size)))


def _chi_square(hits: Floats, expected: Floats, variance: Floats) -> float:
    tell = variance > 0
    if int(tell.sum()) < 2:
        return 1.0
    square = ((hits - expected)[tell] ** 2 / variance[tell]).sum()
    return max(1.0, float(square / (int(tell.sum()) - 1)))
