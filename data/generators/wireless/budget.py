"""The radio formulas of an outdoor 5 GHz link, one function each, with where it comes from.

Powers in dBm, losses and gains in dB or dBi, distances in km, heights in m, frequencies in MHz unless a name says
otherwise. Not here: what equipment may radiate (`regulation`) and which modulation an SNR carries (`modulation`).
"""

from __future__ import annotations

import math

KNIFE_EDGE_FREE = -0.78
"""Diffraction parameter below which a single edge costs nothing (ITU-R P.526)."""
CLEAR_ZONE = 0.6
"""Share of the first Fresnel radius that must be clear for free-space propagation (ITU-R P.530, at the median k)."""

# ITU-R P.838-3, tables 1 to 4: a, b, c of each term; then the slope and the offset over log10 f.
_K_H = (((-5.33980, -0.10008, 1.13098), (-0.35351, 1.26970, 0.45400), (-0.23789, 0.86036, 0.15354),
         (-0.94158, 0.64552, 0.16817)), -0.18961, 0.71147)  # fmt: skip
_K_V = (((-3.80595, 0.56934, 0.81061), (-3.44965, -0.22911, 0.51059), (-0.39902, 0.73042, 0.11899),
         (0.50167, 1.07319, 0.27195)), -0.16398, 0.63297)  # fmt: skip
_ALPHA_H = (((-0.14318, 1.82442, -0.55187), (0.29591, 0.77564, 0.19822), (0.32177, 0.63773, 0.13164),
             (-5.37610, -0.96230, 1.47828), (16.1721, -3.29980, 3.43990)), 0.67849, -1.95537)  # fmt: skip
_ALPHA_V = (((-0.07771, 2.33840, -0.76284), (0.56727, 0.95545, 0.54039), (-0.20238, 1.14520, 0.26809),
             (-48.2991, 0.791669, 0.116226), (48.5833, 0.791459, 0.116479)), -0.053739, 0.83433)  # fmt: skip
_Terms = tuple[tuple[tuple[float, float, float], ...], float, float]


def free_space_loss_db(distance_km: float, frequency_mhz: float) -> float:
    """ITU-R P.525-4, equation 4: 32.45 + 20 log10(d in km) + 20 log10(f in MHz)."""
    return 32.45 + 20 * math.log10(distance_km) + 20 * math.log10(frequency_mhz)


def rain_loss_db(distance_km: float, frequency_mhz: float, rain_mm_per_h: float, polarization: str) -> float:
    """ITU-R P.838-3: k R^alpha in dB/km, over the whole path. `polarization` is "horizontal" or "vertical".

    P.530 shortens long paths, as no shower covers them; at 5 GHz the difference is far below the other losses.
    """
    if not rain_mm_per_h:
        return 0.0
    tables = (_K_H, _ALPHA_H) if polarization == "horizontal" else (_K_V, _ALPHA_V)
    log_k, alpha = (_curve(table, math.log10(frequency_mhz / 1000)) for table in tables)
    return float(10**log_k * rain_mm_per_h**alpha * distance_km)


def _curve(table: _Terms, log_ghz: float) -> float:
    terms, slope, offset = table
    bells = sum(a * math.exp(-(((log_ghz - b) / c) ** 2)) for a, b, c in terms)
    return bells + slope * log_ghz + offset


def foliage_loss_db(depth_m: float, frequency_mhz: float) -> float:
    """Weissberger's modified exponential decay (ESD-TR-81-101, 1982), trees in leaf, 0 to 400 m of depth."""
    ghz = frequency_mhz / 1000
    if depth_m <= 14:
        return float(0.45 * ghz**0.284 * depth_m)
    return float(1.33 * ghz**0.284 * depth_m**0.588)


def fresnel_radius_m(distance_km: float, frequency_mhz: float) -> float:
    """The first Fresnel zone in the middle of the path, ITU-R P.526: 17.32 sqrt(d in km / (4 f in GHz))."""
    return 17.32 * math.sqrt(distance_km / (4 * frequency_mhz / 1000))


def earth_bulge_m(distance_km: float) -> float:
    """The height of the ground in the middle of the path over the chord: d1 d2 / (12.74 k), with k = 4/3."""
    return (distance_km / 2) ** 2 / (12.74 * 4 / 3)


def diffraction_loss_db(clearance_ratio: float) -> float:
    """A single knife edge, ITU-R P.526 equation 31, from the clearance as a share of the first Fresnel radius.

    The diffraction parameter is v = -sqrt(2) ratio; a grazing path (ratio 0) costs 6 dB.
    """
    v = -math.sqrt(2) * clearance_ratio
    if v <= KNIFE_EDGE_FREE:
        return 0.0
    return max(0.0, 6.9 + 20 * math.log10(math.sqrt((v - 0.1) ** 2 + 1) + v - 0.1))


def noise_floor_dbm(channel_width_mhz: float, noise_figure_db: float) -> float:
    """Thermal noise at 290 K, -174 dBm/Hz, over the channel, and the receiver's own: -174 + 10 log10(B) + NF."""
    return -174 + 10 * math.log10(channel_width_mhz * 1e6) + noise_figure_db


def outage(distance_km: float, frequency_mhz: float, fade_margin_db: float, terrain_factor: float) -> float:
    """Share of the worst month lost to multipath, Vigants-Barnett: 6e-7 C f(GHz) d(km)^3 10^(-F/10), at most 1.

    A. Vigants, "Space-Diversity Engineering", Bell System Technical Journal 54 (1975); C is 0.25 over dry or
    mountainous, 1 over average, 4 over flat, humid or watery ground. A link without any margin is out all the time.
    """
    if fade_margin_db < 0:
        return 1.0
    share = 6e-7 * terrain_factor * frequency_mhz / 1000 * distance_km**3 * 10 ** (-fade_margin_db / 10)
    return float(min(1.0, share))
