"""Wi-Fi's modulation and coding schemes: which one an SNR carries, and how fast it is.

    MCS  0 BPSK 1/2  1 QPSK 1/2  2 QPSK 3/4  3 16-QAM 1/2  4 16-QAM 3/4  5 64-QAM 2/3  6 64-QAM 3/4  7 64-QAM 5/6
         8 256-QAM 3/4  9 256-QAM 5/6  10 1024-QAM 3/4  11 1024-QAM 5/6

Sources: IEEE Std 802.11-2020, table 21-25 (receiver minimum input level sensitivity, MCS 0 to 9) and 21.5 (rates);
IEEE Std 802.11ax-2021, clause 27 (MCS 10 and 11, and the rates of high efficiency frames).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SENSITIVITY_20_MHZ_DBM = (-82, -79, -77, -74, -70, -66, -65, -64, -59, -57, -54, -52)
"""Least input level by MCS in a channel of 20 MHz, 10 % of the packets lost. Each doubling of the width costs 3 dB."""
REFERENCE_NOISE_FIGURE_DB, REFERENCE_LOSS_DB = 10, 5
"""The receiver that the table is made for: its noise figure, and what its implementation loses."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """A modulation with its code: bits in a symbol of one subcarrier, and the code rate as a fraction."""

    name: str
    bits: int
    data: int
    coded: int


SCHEMES = (
    Scheme("BPSK 1/2", 1, 1, 2),
    Scheme("QPSK 1/2", 2, 1, 2),
    Scheme("QPSK 3/4", 2, 3, 4),
    Scheme("16-QAM 1/2", 4, 1, 2),
    Scheme("16-QAM 3/4", 4, 3, 4),
    Scheme("64-QAM 2/3", 6, 2, 3),
    Scheme("64-QAM 3/4", 6, 3, 4),
    Scheme("64-QAM 5/6", 6, 5, 6),
    Scheme("256-QAM 3/4", 8, 3, 4),
    Scheme("256-QAM 5/6", 8, 5, 6),
    Scheme("1024-QAM 3/4", 10, 3, 4),
    Scheme("1024-QAM 5/6", 10, 5, 6),
)


@dataclass(frozen=True, slots=True)
class Standard:
    """A generation of Wi-Fi: its highest MCS, data subcarriers by channel width in MHz, symbol time without guard."""

    name: str
    highest_mcs: int
    subcarriers: dict[int, int]
    symbol_us: float
    guards_us: tuple[float, ...]


STANDARDS = {
    standard.name: standard
    for standard in (
        Standard("802.11ac", 9, {20: 52, 40: 108, 80: 234, 160: 468}, 3.2, (0.4, 0.8)),
        Standard("802.11ax", 11, {20: 234, 40: 468, 80: 980, 160: 1960}, 12.8, (0.8, 1.6, 3.2)),
    )
}

_REFERENCE_NOISE_DBM = -174 + 10 * math.log10(20e6) + REFERENCE_NOISE_FIGURE_DB
REQUIRED_SNR_DB = tuple(round(level - _REFERENCE_NOISE_DBM - REFERENCE_LOSS_DB) for level in SENSITIVITY_20_MHZ_DBM)
"""SNR by MCS without any implementation loss: the table's levels over the noise of its own receiver, in whole dB."""


def highest_mcs(standard: str, channel_width_mhz: int, streams: int) -> int:
    """The highest that the standard defines; 802.11ac has no MCS 9 in 20 MHz for one, two or four streams."""
    if standard == "802.11ac" and channel_width_mhz == 20 and streams in (1, 2, 4):
        return 8
    return STANDARDS[standard].highest_mcs


def mcs_for(snr_db: float, implementation_loss_db: float, standard: str, channel_width_mhz: int, streams: int) -> int:
    """The highest MCS whose required SNR, with the implementation loss, is there; -1 where not even MCS 0 is.

    Several streams share the transmit power and are received on as many antennas; the two effects are taken to
    cancel, so that the number of streams does not change the SNR.
    """
    usable = [mcs for mcs, need in enumerate(REQUIRED_SNR_DB) if need + implementation_loss_db <= snr_db + 1e-9]
    return min(max(usable, default=-1), highest_mcs(standard, channel_width_mhz, streams))


def phy_rate_mbps(mcs: int, standard: str, channel_width_mhz: int, streams: int, guard_us: float) -> float:
    """Subcarriers x bits x code rate x streams / symbol time with its guard interval; 0 for MCS -1."""
    if mcs < 0:
        return 0.0
    kind, scheme = STANDARDS[standard], SCHEMES[mcs]
    bits = kind.subcarriers[channel_width_mhz] * scheme.bits * streams * scheme.data / scheme.coded
    return bits / (kind.symbol_us + guard_us)
