"""The columns of a link: what each is, its unit and range, and how the derived ones follow from the others.

A derived column is computed from the columns as they are written, rounded, so that whoever adds them up gets the
same numbers. Not here: which links are made (`sampling`) and what is asked about them (`questions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from data.generators.wireless import budget
from data.generators.wireless.modulation import REQUIRED_SNR_DB, STANDARDS, mcs_for, phy_rate_mbps
from data.generators.wireless.regulation import RULES

Value = str | int | float
Link = Mapping[str, Any]

GOOD_MARGIN_DB = 10.0
"""Fade margin from which a link counts as up; below, down to 0 dB, it is marginal."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its meaning, what it may be (`choices`, or from `least` to `most`), decimals (0: whole numbers).

    `derive` computes it from the columns before it; None for what the link is given.
    """

    name: str
    meaning: str
    decimals: int = 0
    least: float = float("-inf")
    most: float = float("inf")
    choices: tuple[Value, ...] = ()
    derive: Callable[[Link], Value] | None = None

    @property
    def is_text(self) -> bool:
        """Whether it holds words; else numbers."""
        return bool(self.choices) and isinstance(self.choices[0], str)


def _rx_power(link: Link) -> float:
    losses = link["fspl_db"] + link["diffraction_loss_db"] + link["foliage_loss_db"] + link["rain_loss_db"]
    return float(link["eirp_dbm"] - losses + link["rx_antenna_gain_dbi"] - link["rx_cable_loss_db"])


def _status(link: Link) -> str:
    margin = link["fade_margin_db"]
    return "down" if margin < 0 else "marginal" if margin < GOOD_MARGIN_DB else "up"


def _availability(link: Link) -> float:
    lost = budget.outage(link["distance_km"], link["frequency_mhz"], link["fade_margin_db"], link["terrain_factor"])
    return 100 * (1 - lost)


def _phy_rate(link: Link) -> float:
    what = (link["mcs_index"], link["standard"], link["channel_width_mhz"], link["spatial_streams"])
    return phy_rate_mbps(*what, link["guard_interval_us"])


def _mcs(link: Link) -> int:
    what = (link["standard"], link["channel_width_mhz"], link["spatial_streams"])
    return mcs_for(link["snr_db"], link["implementation_loss_db"], *what)


GIVEN = (
    Column("link_id", "number of the link, from 1", 0, 1),
    Column("rule", "regulatory rule that the link falls under", choices=tuple(RULES)),
    Column("standard", "generation of Wi-Fi", choices=tuple(STANDARDS)),
    Column("distance_km", "length of the path", 3, 0.05, 50),
    Column("frequency_mhz", "centre of the channel", 0, 5470, 5875),
    Column("channel_width_mhz", "width of the channel", choices=(20, 40, 80, 160)),
    Column("spatial_streams", "streams sent at a time", choices=(1, 2)),
    Column("guard_interval_us", "guard between symbols", choices=(0.4, 0.8, 1.6, 3.2)),
    Column("polarization", "of both antennas", choices=("horizontal", "vertical")),
    Column("tx_power_dbm", "conducted power of the transmitter", 1, 0, 30),
    Column("tx_cable_loss_db", "cable and connectors at the transmitter", 1, 0, 10),
    Column("tx_antenna_gain_dbi", "transmitting antenna", 1, 0, 36),
    Column("rx_antenna_gain_dbi", "receiving antenna", 1, 0, 36),
    Column("rx_cable_loss_db", "cable and connectors at the receiver", 1, 0, 10),
    Column("noise_figure_db", "receiver's own noise", 1, 0, 15),
    Column("implementation_loss_db", "SNR that the receiver wastes", 1, 0, 10),
    Column("clearance_m", "line of sight over the highest obstacle, in the middle of the path", 1, -50, 300),
    Column("foliage_depth_m", "trees in the path", 0, 0, 400),
    Column("rain_mm_per_h", "rain rate planned for", 0, 0, 150),
    Column("terrain_factor", "0.25 dry or mountainous, 1 average, 4 flat, humid or water", choices=(0.25, 1.0, 4.0)),
    Column("mac_efficiency", "share of the PHY rate that is user data", 2, 0.3, 0.9),
)
DERIVED = (
    Column("eirp_dbm", "radiated power: tx power - cable loss + antenna gain", 1, derive=lambda link: (
        link["tx_power_dbm"] - link["tx_cable_loss_db"] + link["tx_antenna_gain_dbi"])),
    Column("eirp_limit_dbm", "the rule's limit", 1, derive=lambda link: (
        RULES[link["rule"]].eirp_limit_dbm(link["tx_antenna_gain_dbi"]))),
    Column("eirp_margin_db", "limit - EIRP; below 0 the link is not allowed", 1, derive=lambda link: (
        link["eirp_limit_dbm"] - link["eirp_dbm"])),
    Column("fspl_db", "free-space path loss, ITU-R P.525", 2, derive=lambda link: (
        budget.free_space_loss_db(link["distance_km"], link["frequency_mhz"]))),
    Column("fresnel_radius_m", "first Fresnel zone in the middle of the path", 2, derive=lambda link: (
        budget.fresnel_radius_m(link["distance_km"], link["frequency_mhz"]))),
    Column("earth_bulge_m", "curvature of the earth in the middle of the path, k = 4/3", 2, derive=lambda link: (
        budget.earth_bulge_m(link["distance_km"]))),
    Column("fresnel_clearance", "(clearance - bulge) / radius; 0.6 or more is clear", 2, derive=lambda link: (
        (link["clearance_m"] - link["earth_bulge_m"]) / link["fresnel_radius_m"])),
    Column("diffraction_loss_db", "knife edge, ITU-R P.526", 2, derive=lambda link: (
        budget.diffraction_loss_db(link["fresnel_clearance"]))),
    Column("foliage_loss_db", "trees, Weissberger", 2, derive=lambda link: (
        budget.foliage_loss_db(link["foliage_depth_m"], link["frequency_mhz"]))),
    Column("rain_loss_db", "rain, ITU-R P.838-3", 2, derive=lambda link: (
        budget.rain_loss_db(link["distance_km"], link["frequency_mhz"], link["rain_mm_per_h"], link["polarization"]))),
    Column("rx_power_dbm", "EIRP - all losses + receiving antenna - its cable", 2, derive=_rx_power),
    Column("noise_floor_dbm", "-174 dBm/Hz + 10 log10(width in Hz) + noise figure", 2, derive=lambda link: (
        budget.noise_floor_dbm(link["channel_width_mhz"], link["noise_figure_db"]))),
    Column("snr_db", "received power - noise floor", 2, derive=lambda link: (
        link["rx_power_dbm"] - link["noise_floor_dbm"])),
    Column("rx_sensitivity_dbm", "least power for MCS 0 in this receiver", 2, derive=lambda link: (
        link["noise_floor_dbm"] + REQUIRED_SNR_DB[0] + link["implementation_loss_db"])),
    Column("fade_margin_db", "received power - sensitivity", 2, derive=lambda link: (
        link["rx_power_dbm"] - link["rx_sensitivity_dbm"])),
    Column("mcs_index", "highest MCS that the SNR carries; -1 for none", 0, derive=_mcs),
    Column("phy_rate_mbps", "rate on the air", 1, derive=_phy_rate),
    Column("throughput_mbps", "PHY rate x MAC efficiency", 1, derive=lambda link: (
        link["phy_rate_mbps"] * link["mac_efficiency"])),
    Column("availability_percent", "of the worst month, Vigants-Barnett", 5, derive=_availability),
    Column("link_status", "up from 10 dB of fade margin, marginal from 0, else down",
           choices=("up", "marginal", "down"), derive=_status),
)  # fmt: skip
COLUMNS = {column.name: column for column in (*GIVEN, *DERIVED)}


def completed(given: Link) -> dict[str, Any]:
    """The link with every derived column, in the order of `COLUMNS`. Needs each given column in its range."""
    link = dict(given)
    for column in DERIVED:
        assert column.derive is not None
        link[column.name] = rounded(column, column.derive(link))
    return link


def rounded(column: Column, value: Value) -> Value:
    """As it is written: that many decimals, and no minus before a zero."""
    return value if isinstance(value, str | int) else round(value, column.decimals) + 0.0
