"""The bundled wireless links: true to physics, the same for ever, and every untrue row is found."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import DataError
from data.formats import format_named
from data.generators import form_named, generator_named
from data.generators.wireless import budget, faults, links, rows
from data.generators.wireless.columns import COLUMNS, DERIVED
from data.generators.wireless.modulation import REQUIRED_SNR_DB, phy_rate_mbps
from data.generators.wireless.regulation import RULES
from data.rows import SourceRow

LINKS = list(links(400, 7))


def found(link: dict[str, Any]) -> list[tuple[str, str]]:
    return [(fault.column, fault.reason) for fault in faults([SourceRow(1, link, None)])]


@pytest.mark.parametrize(
    ("mcs", "standard", "width", "streams", "guard", "rate"),
    [
        (9, "802.11ac", 80, 1, 0.4, 433.3),
        (9, "802.11ac", 160, 2, 0.4, 1733.3),
        (0, "802.11ac", 20, 1, 0.8, 6.5),
        (11, "802.11ax", 20, 1, 0.8, 143.4),
        (11, "802.11ax", 160, 2, 0.8, 2402.0),
    ],
)
def test_the_phy_rates_are_those_of_the_standards_tables(
    mcs: int, standard: str, width: int, streams: int, guard: float, rate: float
) -> None:
    assert round(phy_rate_mbps(mcs, standard, width, streams, guard), 1) == rate


def test_rain_follows_the_published_coefficients() -> None:
    """ITU-R P.838-3, table 5: k and alpha at 5 and 6 GHz, horizontal and vertical."""
    for ghz, polarization, k, alpha in (
        (5, "horizontal", 0.0002162, 1.6969),
        (5, "vertical", 0.0002428, 1.5317),
        (6, "horizontal", 0.0007056, 1.5900),
        (6, "vertical", 0.0004878, 1.5728),
    ):
        assert budget.rain_loss_db(1, ghz * 1000, 1, polarization) == pytest.approx(k, rel=1e-3)
        assert budget.rain_loss_db(1, ghz * 1000, 60, polarization) == pytest.approx(k * 60**alpha, rel=2e-3)


def test_known_values_of_the_other_formulas() -> None:
    assert budget.free_space_loss_db(1, 5800) == pytest.approx(107.72, abs=0.01)
    assert budget.noise_floor_dbm(20, 5) == pytest.approx(-95.99, abs=0.01)
    assert budget.diffraction_loss_db(0) == pytest.approx(6.0, abs=0.05)
    assert budget.diffraction_loss_db(0.6) == 0
    assert REQUIRED_SNR_DB == (4, 7, 9, 12, 16, 20, 21, 22, 27, 29, 32, 34)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_links_of_every_seed_are_physically_consistent_and_within_their_columns(seed: int) -> None:
    for link in links(8, seed):
        assert found(link) == []
        assert list(link) == list(COLUMNS)
        assert link["phy_rate_mbps"] >= link["throughput_mbps"] >= 0
        assert (link["mcs_index"] < 0) == (link["link_status"] == "down") == (link["fade_margin_db"] < 0)
        assert link["snr_db"] == pytest.approx(link["rx_power_dbm"] - link["noise_floor_dbm"], abs=0.011)
        # Twice the distance costs 6.02 dB in free space, twice the width 3.01 dB of SNR.
        twice = budget.free_space_loss_db(2 * link["distance_km"], link["frequency_mhz"])
        assert twice - link["fspl_db"] == pytest.approx(20 * math.log10(2), abs=0.011)


def test_the_links_are_of_every_kind() -> None:
    assert {link["link_status"] for link in LINKS} == {"up", "marginal", "down"}
    assert {link["rule"] for link in LINKS} == set(RULES)
    assert {link["mcs_index"] for link in LINKS} == set(range(-1, 12))
    assert any(link["eirp_margin_db"] < 0 for link in LINKS)
    assert any(link["fresnel_clearance"] < 0.6 for link in LINKS)


@pytest.mark.parametrize("column", [column.name for column in DERIVED])
def test_a_changed_value_is_found_in_its_own_column(column: str) -> None:
    link = dict(next(link for link in LINKS if link["fade_margin_db"] > 15 and link["mcs_index"] > 2))
    link[column] = "down" if column == "link_status" else link[column] + (1 if column == "mcs_index" else -0.9)
    assert column in [name for name, _ in found(link)]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("distance_km", "far", "no number"),
        ("distance_km", 900, "outside 0.05 to 50"),
        ("distance_km", None, "empty"),
        ("noise_figure_db", "nan", "no finite number"),
        ("tx_power_dbm", True, "no number"),
        ("rule", "FCC", "none of"),
        ("channel_width_mhz", 30, "none of"),
        ("frequency_mhz", 5501, "no "),
        ("guard_interval_us", 1.6, "802.11ac has"),
        ("link_id", 1.5, "no whole number"),
    ],
)
def test_a_value_that_cannot_be_is_found_with_the_reason(column: str, value: object, reason: str) -> None:
    link = dict(next(link for link in LINKS if link["standard"] == "802.11ac")) | {column: value}
    assert any(name == column and reason in told for name, told in found(link))


def test_missing_and_unknown_columns_are_found() -> None:
    link = dict(LINKS[0]) | {"distance_m": 3}
    del link["distance_km"]
    assert ("distance_km", "is missing") in found(link)
    assert any(name == "distance_m" and "distance_km" in told for name, told in found(link))


@given(
    row=st.dictionaries(st.sampled_from([*COLUMNS, "x"]), st.none() | st.text(max_size=4) | st.floats() | st.just([]))
)
@settings(max_examples=60)
def test_no_row_stops_the_validator(row: dict[str, Any]) -> None:
    assert found(row)


def test_every_number_of_an_answer_stands_in_its_link_or_in_the_sum_that_it_shows() -> None:
    """Answers of one turn without advice: each number with two decimals is a column's value or a rounded gain."""
    for link, row in zip(LINKS, rows(400, 7), strict=True):
        question, answer = (message["content"] for message in row["messages"][:2])
        assert f"Outdoor link {link['link_id']}:" in question
        for given_value in (link["distance_km"], link["frequency_mhz"], link["tx_power_dbm"], link["rule"]):
            assert str(given_value) in question
        if answer.startswith(("Fade margin", "Yes", "No", "Only just", "MCS")):
            known = {f"{value:.2f}" for value in link.values() if isinstance(value, float)}
            known |= {f"{abs(value):.2f}" for value in link.values() if isinstance(value, float)}
            assert set(re.findall(r"-?\d+\.\d\d\b(?!\d)", answer)) <= known | {"0.60"}, answer


def test_the_conversations_are_messages_with_alternating_roles() -> None:
    messages = format_named("messages")
    for number, row in enumerate(rows(60, 1), start=1):
        assert messages.matches(row)
        assert messages.convert(row, number).answer


def test_the_first_links_are_the_same_however_many_are_made_and_nothing_is_made_ahead() -> None:
    assert list(islice(links(10**9, 7), 20)) == LINKS[:20]
    assert list(links(5, 1)) != list(links(5, 2))


def digest(seed: int) -> str:
    written = "".join(json.dumps(row) + "\n" for form in (links, rows) for row in form(100, seed))
    return hashlib.sha256(written.encode()).hexdigest()


def test_the_same_seed_gives_the_same_bytes_in_another_process_with_another_hash_seed() -> None:
    program = (
        "import json, hashlib; from data.generators.wireless import links, rows\n"
        "w = ''.join(json.dumps(r) + chr(10) for f in (links, rows) for r in f(100, 5))\n"
        "print(hashlib.sha256(w.encode()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "4711"}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert ended.stdout.strip() == digest(5) == "1088e24336c9a373735543c3dd762127cb2d78ca7e322922d4697da69e23824e"


def test_fewer_than_one_row_and_unknown_forms_are_refused() -> None:
    for form in (links, rows):
        with pytest.raises(DataError, match="generator_rows is 0"):
            form(0, 1)
    with pytest.raises(DataError) as caught:
        form_named(generator_named("wireless"), "table")
    assert "links, conversations" in caught.value.means
    with pytest.raises(DataError) as caught:
        generator_named("commands?grammar=x")
    assert "generate commands" in caught.value.remedy
