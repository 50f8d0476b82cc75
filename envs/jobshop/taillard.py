"""Taillard's benchmark shops, regenerated from their published seeds.

E. Taillard, "Benchmarks for basic scheduling problems", European Journal of Operational Research 64 (1993) 278-285:
80 job shops ta01-ta80 and 120 permutation flow shops ta001-ta120. The seeds below are the paper's tables; every
duration and machine follows from them.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from makespan.envs.jobshop.instance import ShopInstance

_MODULUS = 2**31 - 1
_MULTIPLIER = 16807

# (num_jobs, num_machines) -> ten pairs (time seed, machine seed), in the order of the names.
_JOB_SHOP_SEEDS = {
    (15, 15): """
        840612802 398197754  1314640371 386720536  1227221349 316176388  342269428 1806358582
        1603221416 1501949241  1357584978 1734077082  44531661 1374316395  302545136 2092186050
        1153780144 1393392374  73896786 1544979948""",
    (20, 15): """
        533484900 317419073  1894307698 1474268163  874340513 509669280  1124986343 1209573668
        1463788335 529048107  1056908795 25321885  195672285 1717580117  961965583 1353003786
        1610169733 1734469503  532794656 998486810""",
    (20, 20): """
        1035939303 773961798  5997802 1872541150  1357503601 722225039  806159563 1166962073
        1902815253 1879990068  1503184031 1850351876  1032645967 99711329  229894219 1158117804
        823349822 108033225  1297900341 489486403""",
    (30, 15): """
        98640593 1981283465  1839268120 248890888  573875290 2081512253  1670898570 788294565
        1118914567 1074349202  178750207 294279708  1549372605 596993084  798174738 151685779
        553410952 1329272528  1661531649 1173386294""",
    (30, 20): """
        1841414609 1357882888  2116959593 1546338557  796392706 1230864158  532496463 254174057
        2020525633 978943053  524444252 185526083  1569394691 487269855  1460267840 1631446539
        198324822 1937476577  38071822 1541985579""",
    (50, 15): """
        17271 718939  660481279 449650254  352229765 949737911  1197518780 166840558
        1376020303 483922052  2106639239 955932362  1765352082 1209982549  1105092880 1349003108
        907248070 919544535  2011630757 1845447001""",
    (50, 20): """
        8493988 2738939  1991925010 709517751  342093237 786960785  1634043183 973178279
        341706507 286513148  320167954 1411193018  1089696753 298068750  433032965 1589656152
        615974477 331205412  236150141 592292984""",
    (100, 20): """
        302034063 1203569070  1437643198 1692025209  1792475497 1039908559  1647273132 1012841433
        696480901 1689682358  1785569423 1092647459  117806902 739059626  1639154709 1319962509
        2007423389 749368241  682761130 262763021""",
}

# (num_jobs, num_machines) -> ten time seeds, in the order of the names.
_FLOW_SHOP_SEEDS = {
    (20, 5): """
        873654221 379008056 1866992158 216771124 495070989
        402959317 1369363414 2021925980 573109518 88325120""",
    (20, 10): """
        587595453 1401007982 873136276 268827376 1634173168
        691823909 73807235 1273398721 2065119309 1672900551""",
    (20, 20): """
        479340445 268827376 1958948863 918272953 555010963
        2010851491 1519833303 1748670931 1923497586 1829909967""",
    (50, 5): """
        1328042058 200382020 496319842 1203030903 1730708564
        450926852 1303135678 1273398721 587288402 248421594""",
    (50, 10): """
        1958948863 575633267 655816003 1977864101 93805469
        1803345551 49612559 1899802599 2013025619 578962478""",
    (50, 20): """
        1539989115 691823909 655816003 1315102446 1949668355
        1923497586 1805594913 1861070898 715643788 464843328""",
    (100, 5): """
        896678084 1179439976 1122278347 416756875 267829958
        1835213917 1328833962 1418570761 161033112 304212574""",
    (100, 10): """
        1539989115 655816003 960914243 1915696806 2013025619
        1168140026 1923497586 167698528 1528387973 993794175""",
    (100, 20): """
        450926852 1462772409 1021685265 83696007 508154254
        1861070898 26482542 444956424 2115448041 118254244""",
    (200, 10): """
        471503978 1215892992 135346136 1602504050 160037322
        551454346 519485142 383947510 1968171878 540872513""",
    (200, 20): """
        2013025619 475051709 914834335 810642687 1019331795
        2056065863 1342855162 1325809384 1988803007 765656702""",
    (500, 20): """
        1368624604 450181436 1927888393 1759567256 606425239
        19268348 1298201670 2041736264 379756761 28837162""",
}


@functools.lru_cache(maxsize=8)
def _powers(count: int) -> NDArray[np.int64]:
    """multiplier^1 .. multiplier^count modulo the modulus, (count,)."""
    powers = np.full(1, _MULTIPLIER, np.int64)
    while powers.size < count:
        powers = np.concatenate([powers, powers * powers[-1] % _MODULUS])  # products stay below 2^62
    return powers[:count]


def uniform_stream(seed: int, low: int | NDArray[np.int64], high: int, count: int) -> NDArray[np.int64]:
    """The first `count` integers U[low, high] of Taillard's generator.

    The paper's Lehmer generator is x <- 16807 x mod (2^31 - 1); its k-th state is 16807^k seed mod (2^31 - 1), so the
    whole stream is one product.

    Args:
        seed: Start of the stream, 1 .. 2^31 - 2.
        low: Smallest value, one for all or (count,) one for each draw.
        high: Largest value.
        count: Length of the stream.

    Returns:
        (count,) integers.
    """
    states = _powers(count) * seed % _MODULUS
    return low + np.floor(states / _MODULUS * (high - low + 1)).astype(np.int64)


def job_shop(
    num_jobs: int, num_machines: int, time_seed: int, machine_seed: int, name: str = ""
) -> ShopInstance:
    """Taillard's job shop: durations U[1, 99] job after job, routes shuffled by swaps from a second stream."""
    count = num_jobs * num_machines
    durations = uniform_stream(time_seed, 1, 99, count)
    position = np.arange(num_machines)
    swaps = uniform_stream(machine_seed, np.tile(position, num_jobs), num_machines - 1, count)
    swaps = swaps.reshape(num_jobs, num_machines)
    machines = np.tile(position, (num_jobs, 1))
    job = np.arange(num_jobs)
    for j in position:
        other = swaps[:, j]
        machines[job, j], machines[job, other] = machines[job, other], machines[job, j].copy()
    return _shop(machines, durations.reshape(num_jobs, num_machines), name)


def flow_shop(num_jobs: int, num_machines: int, time_seed: int, name: str = "") -> ShopInstance:
    """Taillard's flow shop: durations U[1, 99] machine after machine; every job visits machine 0, 1, 2, ..."""
    durations = uniform_stream(time_seed, 1, 99, num_jobs * num_machines).reshape(num_machines, num_jobs).T
    return _shop(np.tile(np.arange(num_machines), (num_jobs, 1)), durations, name)


def _shop(machines: NDArray[np.int64], durations: NDArray[np.int64], name: str) -> ShopInstance:
    _num_jobs, num_machines = machines.shape
    return ShopInstance(
        np.arange(0, machines.size + 1, num_machines, dtype=np.int32),
        machines.astype(np.int32).reshape(-1, 1),
        durations.astype(np.int32).reshape(-1, 1),
        num_machines,
        name=name,
    )


def load_taillard(name: str) -> ShopInstance:
    """Regenerate `ta01` .. `ta80` (job shops) or `ta001` .. `ta120` (flow shops).

    Raises:
        KeyError: No such name.
    """
    digits = name.removeprefix("ta")
    table = {2: _JOB_SHOP_SEEDS, 3: _FLOW_SHOP_SEEDS}.get(len(digits), {})
    if not name.startswith("ta") or not digits.isdecimal() or not 1 <= int(digits) <= 10 * len(table):
        raise KeyError(name)
    group, index = divmod(int(digits) - 1, 10)
    (num_jobs, num_machines), text = list(table.items())[group]
    seeds = [int(word) for word in text.split()]
    if table is _FLOW_SHOP_SEEDS:
        return flow_shop(num_jobs, num_machines, seeds[index], name)
    return job_shop(num_jobs, num_machines, seeds[2 * index], seeds[2 * index + 1], name)
