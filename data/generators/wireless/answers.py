"""The answers about one link, each a few sentences that show where its numbers come from."""

from __future__ import annotations

from data.generators.wireless.budget import CLEAR_ZONE
from data.generators.wireless.columns import GIVEN, GOOD_MARGIN_DB, Link, completed
from data.generators.wireless.modulation import REQUIRED_SNR_DB, SCHEMES, STANDARDS, highest_mcs


def verdict(link: Link) -> str:
    """Up, marginal or down, and why."""
    margin, status = link["fade_margin_db"], link["link_status"]
    power = (
        f"It receives {link['rx_power_dbm']:.2f} dBm and needs {link['rx_sensitivity_dbm']:.2f} dBm, "
        f"a fade margin of {margin:.2f} dB"
    )
    if status == "down":
        return f"No, the link is down. {power}: the signal is too weak even for MCS 0."
    rate = f"It runs at MCS {link['mcs_index']} and carries about {link['throughput_mbps']:.1f} Mbit/s."
    if status == "marginal":
        asked = f"less than the {GOOD_MARGIN_DB:.0f} dB that fading asks for"
        return f"Only just: the link is marginal. {power}, {asked}. {rate}"
    outage = f"Expected availability in the worst month: {link['availability_percent']:.5f} %."
    legal = (
        ""
        if link["eirp_margin_db"] >= 0
        else f" But its EIRP is {-link['eirp_margin_db']:.1f} dB above what is allowed."
    )
    return f"Yes, the link is up. {power}. {rate} {outage}{legal}"


def modulation(link: Link) -> str:
    """The MCS with the SNR it needs, the PHY rate and the throughput."""
    mcs, loss = link["mcs_index"], link["implementation_loss_db"]
    if mcs < 0:
        need = REQUIRED_SNR_DB[0] + loss
        return (
            f"None: the SNR is {link['snr_db']:.2f} dB, and MCS 0 needs {need:.1f} dB with this receiver. "
            "No data passes."
        )
    need = REQUIRED_SNR_DB[mcs] + loss
    top = highest_mcs(link["standard"], link["channel_width_mhz"], link["spatial_streams"])
    beyond = (
        "the highest there is on this link"
        if mcs == top
        else f"MCS {mcs + 1} would need {REQUIRED_SNR_DB[mcs + 1] + loss:.1f} dB"
    )
    return (
        f"MCS {mcs} ({SCHEMES[mcs].name}). The SNR is {link['snr_db']:.2f} dB; MCS {mcs} needs {need:.1f} dB, "
        f"{beyond}. The PHY rate is {link['phy_rate_mbps']:.1f} Mbit/s, and with a MAC efficiency of "
        f"{link['mac_efficiency']} the throughput is about {link['throughput_mbps']:.1f} Mbit/s."
    )


def fade_margin(link: Link) -> str:
    """Received power less sensitivity, and what that is worth."""
    margin = link["fade_margin_db"]
    worth = {
        "up": f"That is {GOOD_MARGIN_DB:.0f} dB or more, so the link is up.",
        "marginal": f"That is less than {GOOD_MARGIN_DB:.0f} dB, so the link is marginal.",
        "down": "It is negative, so the link is down.",
    }[link["link_status"]]
    return (
        f"Fade margin = received power - sensitivity = {link['rx_power_dbm']:.2f} - ({link['rx_sensitivity_dbm']:.2f}) "
        f"= {margin:.2f} dB. {worth}"
    )


def allowed(link: Link) -> str:
    """EIRP against the rule's limit."""
    margin = link["eirp_margin_db"]
    sums = (
        f"EIRP = {link['tx_power_dbm']:.1f} dBm - {link['tx_cable_loss_db']:.1f} dB + "
        f"{link['tx_antenna_gain_dbi']:.1f} dBi = {link['eirp_dbm']:.1f} dBm. {link['rule']} allows "
        f"{link['eirp_limit_dbm']:.1f} dBm here"
    )
    if margin < 0:
        return f"No. {sums}, so the transmit power has to come down by {-margin:.1f} dB."
    return f"Yes. {sums}, which leaves {margin:.1f} dB."


def clearance(link: Link) -> str:
    """Clearance over the bulge as a share of the first Fresnel radius, and what it costs."""
    share = link["fresnel_clearance"]
    sums = (
        f"The first Fresnel zone has a radius of {link['fresnel_radius_m']:.2f} m at mid-path, and the earth bulges by "
        f"{link['earth_bulge_m']:.2f} m. ({link['clearance_m']:.1f} - {link['earth_bulge_m']:.2f}) / "
        f"{link['fresnel_radius_m']:.2f} = {share:.2f}"
    )
    if share >= CLEAR_ZONE:
        return f"Yes. {sums}, and {CLEAR_ZONE} is enough."
    return f"No. {sums}, less than {CLEAR_ZONE}; the obstacle costs {link['diffraction_loss_db']:.2f} dB."


def advice(link: Link) -> str:
    """What to change, in the order of its weight; each change is worked out, not guessed."""
    told: list[str] = []
    if link["eirp_margin_db"] < 0:
        told.append(
            f"Lower the transmit power by {-link['eirp_margin_db']:.1f} dB: the EIRP of {link['eirp_dbm']:.1f} dBm is "
            f"above the limit of {link['eirp_limit_dbm']:.1f} dBm."
        )
    if link["fresnel_clearance"] < CLEAR_ZONE:
        raise_m = CLEAR_ZONE * link["fresnel_radius_m"] + link["earth_bulge_m"] - link["clearance_m"]
        told.append(
            f"Raise the line of sight by {raise_m:.1f} m: only {link['fresnel_clearance']:.2f} of the first Fresnel "
            f"zone is clear, which costs {link['diffraction_loss_db']:.2f} dB."
        )
    if link["foliage_loss_db"]:
        told.append(f"Get past the trees: they cost {link['foliage_loss_db']:.2f} dB.")
    if link["link_status"] != "up":
        short = GOOD_MARGIN_DB - link["fade_margin_db"]
        told.append(
            f"Gain {short:.2f} dB to reach a fade margin of {GOOD_MARGIN_DB:.0f} dB, for example with a "
            "receiving antenna of more gain."
        )
        if link["channel_width_mhz"] > 20:
            told.append(_narrower(link, link["channel_width_mhz"] // 2))
    if not told:
        return (
            f"Nothing has to change: the fade margin is {link['fade_margin_db']:.2f} dB, the first Fresnel zone "
            f"is clear and the EIRP is within its limit."
        )
    return "\n".join(f"{number}. {text}" for number, text in enumerate(told, start=1))


def with_width(link: Link, channel_width_mhz: int) -> str:
    """What another channel width does to the SNR, the MCS and the throughput."""
    other = _at_width(link, channel_width_mhz)
    mcs = "no MCS is left" if other["mcs_index"] < 0 else f"MCS {other['mcs_index']}"
    return (
        f"The noise floor goes from {link['noise_floor_dbm']:.2f} to {other['noise_floor_dbm']:.2f} dBm and the "
        f"SNR from {link['snr_db']:.2f} to {other['snr_db']:.2f} dB: {mcs}, about "
        f"{other['throughput_mbps']:.1f} Mbit/s instead of {link['throughput_mbps']:.1f}. The "
        f"fade margin becomes {other['fade_margin_db']:.2f} dB."
    )


def step_by_step(link: Link) -> str:
    """The whole budget, one line a step."""
    width, kind = link["channel_width_mhz"], STANDARDS[link["standard"]]
    losses = [link["fspl_db"], link["diffraction_loss_db"], link["foliage_loss_db"], link["rain_loss_db"]]
    mcs = link["mcs_index"]
    steps = [
        (
            f"EIRP = {link['tx_power_dbm']:.1f} - {link['tx_cable_loss_db']:.1f} + {link['tx_antenna_gain_dbi']:.1f} = "
            f"{link['eirp_dbm']:.1f} dBm"
        ),
        (
            f"Free-space loss = 32.45 + 20 log10({link['distance_km']}) + 20 log10({link['frequency_mhz']}) = "
            f"{link['fspl_db']:.2f} dB"
        ),
        f"Other losses: diffraction {losses[1]:.2f} dB, trees {losses[2]:.2f} dB, rain {losses[3]:.2f} dB",
        (
            f"Received power = {link['eirp_dbm']:.1f} - {' - '.join(f'{loss:.2f}' for loss in losses)} + "
            f"{link['rx_antenna_gain_dbi']:.1f} - {link['rx_cable_loss_db']:.1f} = {link['rx_power_dbm']:.2f} dBm"
        ),
        f"Noise floor = -174 + 10 log10({width}e6) + {link['noise_figure_db']:.1f} = {link['noise_floor_dbm']:.2f} dBm",
        f"SNR = {link['rx_power_dbm']:.2f} - ({link['noise_floor_dbm']:.2f}) = {link['snr_db']:.2f} dB",
        _margin_sum(link),
    ]
    if mcs < 0:
        return _numbered([*steps, "No MCS works at this SNR: the link is down."])
    scheme = SCHEMES[mcs]
    steps += [
        f"MCS {mcs} ({scheme.name}) needs {REQUIRED_SNR_DB[mcs] + link['implementation_loss_db']:.1f} dB of SNR",
        (
            f"PHY rate = {kind.subcarriers[width]} x {scheme.bits} x {scheme.data}/{scheme.coded} x "
            f"{link['spatial_streams']} / ({kind.symbol_us} + {link['guard_interval_us']}) µs = "
            f"{link['phy_rate_mbps']:.1f} Mbit/s"
        ),
        f"Throughput = {link['phy_rate_mbps']:.1f} x {link['mac_efficiency']} = {link['throughput_mbps']:.1f} Mbit/s",
    ]
    return _numbered([*steps, f"The link is {link['link_status']}."])


def _margin_sum(link: Link) -> str:
    power, least = link["rx_power_dbm"], link["rx_sensitivity_dbm"]
    return f"Fade margin = {power:.2f} - ({least:.2f}) = {link['fade_margin_db']:.2f} dB"


def _numbered(steps: list[str]) -> str:
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))


def _narrower(link: Link, channel_width_mhz: int) -> str:
    other = _at_width(link, channel_width_mhz)
    return (
        f"Or narrow the channel to {channel_width_mhz} MHz: the SNR rises from {link['snr_db']:.2f} to "
        f"{other['snr_db']:.2f} dB and the fade margin to {other['fade_margin_db']:.2f} dB."
    )


def _at_width(link: Link, channel_width_mhz: int) -> Link:
    given = {column.name: link[column.name] for column in GIVEN}
    return completed(given | {"channel_width_mhz": channel_width_mhz})
