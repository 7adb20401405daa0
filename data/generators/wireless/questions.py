"""Links turned into conversations: what people ask about a link, and the answer worked out from its columns.

Every number in an answer is one of the link's columns, or the sum or difference that the answer shows. A question
names all it takes to find the answer, so that nothing has to be guessed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from data.chance import one_of
from data.generators.wireless.answers import (
    advice,
    allowed,
    clearance,
    fade_margin,
    modulation,
    step_by_step,
    verdict,
    with_width,
)
from data.generators.wireless.columns import Link

_ASKED: tuple[tuple[tuple[str, ...], Callable[[Link], str]], ...] = (
    (
        ("Will this link work?", "Can I expect this link to hold?", "Is this link going to work, and how well?"),
        verdict,
    ),
    (
        (
            "Which MCS will it run at, and what throughput is that?",
            "What modulation and data rate can I expect?",
            "How fast will it be?",
        ),
        modulation,
    ),
    (
        ("What is the fade margin?", "How much can the signal fade before the link drops?"),
        fade_margin,
    ),
    (
        ("What should I change?", "How can I make this link better?", "What would you change about it, if anything?"),
        advice,
    ),
    (
        (
            "Compute the link budget step by step.",
            "Work out the received power, SNR and throughput, showing each step.",
            "Please go through the link budget one step at a time.",
        ),
        step_by_step,
    ),
    (("Is the transmit power allowed?", "Does it stay within the EIRP limit?"), allowed),
    (
        ("Is the first Fresnel zone clear?", "Is the line of sight high enough over the obstacle?"),
        clearance,
    ),
)
_FOLLOW_UPS = (
    ("Which MCS is that?", modulation),
    ("And what is the fade margin?", fade_margin),
    ("Am I allowed to transmit that much?", allowed),
    ("What should I change?", advice),
)
FOLLOWED_UP, NARROWED = 0.2, 0.1
"""Shares of the conversations that go on with a second question, and with one about another channel width."""


def conversations(links: Iterable[Link], seed: int) -> Iterator[dict[str, Any]]:
    """One conversation for each link, in messages format."""
    # A stream of chance of its own: the links stay those of the table.
    chance = random.Random(2 * seed + 1)
    for link in links:
        yield {"messages": _conversation(link, chance)}


def _conversation(link: Link, chance: random.Random) -> list[dict[str, str]]:
    questions, answer = one_of(_ASKED, chance)
    question, told = one_of(questions, chance), described(link, chance)
    gap = "\n" if "\n" in told else " "
    asked = f"{question}{gap}{told}" if chance.random() < 0.5 else f"{told}{gap}{question}"
    turns = [(asked, answer(link))]
    more = chance.random()
    width = one_of([width for width in (20, 40, 80) if width != link["channel_width_mhz"]], chance)
    if more < NARROWED:
        turns.append((f"What if I set the channel width to {width} MHz?", with_width(link, width)))
    elif more < NARROWED + FOLLOWED_UP:
        turns += [(text, reply(link)) for text, reply in [one_of(_FOLLOW_UPS, chance)] if reply is not answer]
    return [
        {"role": role, "content": content}
        for turn in turns
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]


def described(link: Link, chance: random.Random) -> str:
    """All that the link is given, in a sentence or as a list."""
    parts = [
        f"{link['distance_km']} km",
        f"{link['standard']} on {link['frequency_mhz']} MHz",
        f"{link['channel_width_mhz']} MHz wide",
        f"{link['spatial_streams']} spatial stream{'s' if link['spatial_streams'] > 1 else ''}",
        f"guard interval {link['guard_interval_us']} µs",
        f"{link['polarization']} polarization",
        f"transmit power {link['tx_power_dbm']} dBm",
        f"transmitter's cable loss {link['tx_cable_loss_db']} dB and antenna {link['tx_antenna_gain_dbi']} dBi",
        f"receiver's antenna {link['rx_antenna_gain_dbi']} dBi and cable loss {link['rx_cable_loss_db']} dB",
        f"noise figure {link['noise_figure_db']} dB",
        f"implementation loss {link['implementation_loss_db']} dB",
        f"line of sight {link['clearance_m']} m over the highest obstacle at mid-path",
        f"{link['foliage_depth_m']} m of trees" if link["foliage_depth_m"] else "no trees",
        f"rain of {link['rain_mm_per_h']} mm/h" if link["rain_mm_per_h"] else "no rain",
        f"terrain factor {link['terrain_factor']}",
        f"MAC efficiency {link['mac_efficiency']}",
        f"rule {link['rule']}",
    ]
    name = f"Outdoor link {link['link_id']}"
    if chance.random() < 0.5:
        return f"{name}: {', '.join(parts)}."
    return "\n".join([f"{name}:", *(f"- {part}" for part in parts)])
