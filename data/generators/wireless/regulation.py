"""What an outdoor 5 GHz transmitter may radiate, and on which channels, by regulatory rule.

    ETSI EN 301 893, table 2     5470-5725 MHz: mean EIRP 30 dBm with transmit power control
    ETSI EN 302 502              5725-5875 MHz, fixed wireless access: mean EIRP 36 dBm
    FCC 47 CFR 15.407(a)(2)      5470-5725 MHz (U-NII-2C): 24 dBm conducted, 6 dBi, so 30 dBm EIRP
    FCC 47 CFR 15.407(a)(3)      5725-5850 MHz (U-NII-3): 30 dBm conducted, 6 dBi, so 36 dBm EIRP; fixed
                                 point-to-point links may use any antenna gain

The limits are those of channels of 20 MHz and more; power density and each country's own additions are left out.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One band of one regulator. `eirp_dbm` None: only the conducted power is limited, by `conducted_dbm`."""

    name: str
    low_mhz: int
    high_mhz: int
    eirp_dbm: float | None
    conducted_dbm: float

    def eirp_limit_dbm(self, antenna_gain_dbi: float) -> float:
        """The highest EIRP with this antenna."""
        return self.conducted_dbm + antenna_gain_dbi if self.eirp_dbm is None else self.eirp_dbm


RULES = {
    rule.name: rule
    for rule in (
        Rule("ETSI-5470-5725", 5470, 5725, 30.0, 30.0),
        Rule("ETSI-5725-5875", 5725, 5875, 36.0, 30.0),
        Rule("FCC-U-NII-2C", 5470, 5725, 30.0, 24.0),
        Rule("FCC-U-NII-3-PTMP", 5725, 5850, 36.0, 30.0),
        Rule("FCC-U-NII-3-PTP", 5725, 5850, None, 30.0),
    )
}

# Centre frequencies by channel width in MHz: 5000 + 5 x channel number.
CHANNELS_MHZ = {
    20: (*range(5500, 5701, 20), *range(5745, 5866, 20)),
    40: (5510, 5550, 5590, 5630, 5670, 5755, 5795, 5835),
    80: (5530, 5610, 5775, 5855),
    160: (5570,),
}


def channels_mhz(rule: Rule, channel_width_mhz: int) -> tuple[int, ...]:
    """The centre frequencies whose whole channel lies inside the rule's band."""
    half = channel_width_mhz / 2
    return tuple(
        centre
        for centre in CHANNELS_MHZ[channel_width_mhz]
        if rule.low_mhz <= centre - half and centre + half <= rule.high_mhz
    )
