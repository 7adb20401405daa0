"""Which links there are: equipment as it is sold, sites as they are met, most of them sensible and some of them not.

Only `random.random()` is used, which gives the same on every Python version. What follows from a link's given
columns is computed in `columns`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from data.chance import one_of
from data.generators.wireless import budget
from data.generators.wireless.columns import COLUMNS, completed
from data.generators.wireless.modulation import STANDARDS
from data.generators.wireless.regulation import RULES, Rule, channels_mhz

NEAREST_KM, FURTHEST_KM = 0.1, 30.0
OVER_THE_LIMIT = 0.08
"""Share of the links that radiate more than they may."""
OBSTRUCTED, IN_TREES, IN_RAIN = 0.2, 0.12, 0.5
RAIN_MM_PER_H = (10, 25, 42, 60, 95)
"""Rates exceeded for 0.01 % of the time in climates from dry to tropical (after ITU-R P.837)."""


def links(num_rows: int, seed: int) -> Iterator[dict[str, Any]]:
    """`num_rows` links with all columns, numbered from 1; the first n are the same for every `num_rows`."""
    chance = random.Random(seed)
    for number in range(1, num_rows + 1):
        yield completed(_given(number, chance))


def _between(least: float, most: float, decimals: int, chance: random.Random) -> float:
    return round(least + (most - least) * chance.random(), decimals) + 0.0


def _given(number: int, chance: random.Random) -> dict[str, Any]:
    rule = one_of(list(RULES.values()), chance)
    standard = one_of(list(STANDARDS.values()), chance)
    widths = [width for width in (20, 20, 40, 40, 80, 80, 160) if channels_mhz(rule, width)]
    width = one_of(widths, chance)
    frequency = one_of(channels_mhz(rule, width), chance)
    # As many short paths as long ones, counted in decades.
    distance = round(NEAREST_KM * (FURTHEST_KM / NEAREST_KM) ** chance.random(), 3)
    gain = _between(8, 31, 0, chance)
    cable = _between(0, 2, 1, chance)
    return {
        "link_id": number,
        "rule": rule.name,
        "standard": standard.name,
        "distance_km": distance,
        "frequency_mhz": frequency,
        "channel_width_mhz": width,
        "spatial_streams": one_of((1, 2, 2), chance),
        "guard_interval_us": one_of(standard.guards_us, chance),
        "polarization": one_of(("horizontal", "vertical"), chance),
        "tx_power_dbm": _tx_power(rule, gain, cable, chance),
        "tx_cable_loss_db": cable,
        "tx_antenna_gain_dbi": gain,
        "rx_antenna_gain_dbi": one_of((gain, gain, 13.0, 16.0, 19.0, 23.0, 25.0, 30.0), chance),
        "rx_cable_loss_db": _between(0, 2, 1, chance),
        "noise_figure_db": _between(4, 8, 1, chance),
        "implementation_loss_db": _between(1, 4, 1, chance),
        "clearance_m": _clearance(distance, frequency, chance),
        "foliage_depth_m": int(_between(2, 60, 0, chance)) if chance.random() < IN_TREES else 0,
        "rain_mm_per_h": one_of(RAIN_MM_PER_H, chance) if chance.random() < IN_RAIN else 0,
        "terrain_factor": one_of((0.25, 1.0, 1.0, 4.0), chance),
        "mac_efficiency": _between(0.55, 0.75, 2, chance),
    }


def _tx_power(rule: Rule, gain_dbi: float, cable_db: float, chance: random.Random) -> float:
    """Up to what the rule allows with this antenna, some dB below as radios are set; seldom above."""
    allowed = min(rule.conducted_dbm, rule.eirp_limit_dbm(gain_dbi) - gain_dbi + cable_db)
    power = allowed - one_of((0, 0, 1, 3, 6), chance)
    if chance.random() < OVER_THE_LIMIT:
        power = allowed + 1 + int(6 * chance.random())
    column = COLUMNS["tx_power_dbm"]
    return round(min(column.most, max(column.least, power)), 1) + 0.0


def _clearance(distance_km: float, frequency_mhz: float, chance: random.Random) -> float:
    """Masts high enough for most paths: 0.6 to 2.6 Fresnel radii over the bulge; the others are obstructed."""
    share = _between(-0.6, 0.6, 2, chance) if chance.random() < OBSTRUCTED else _between(0.62, 2.6, 2, chance)
    radius = budget.fresnel_radius_m(distance_km, frequency_mhz)
    return round(budget.earth_bulge_m(distance_km) + share * radius, 1) + 0.0
