"""How a plan spreads over cards, processes and hosts, what one rank takes, and what a recipe may not ask."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.errors import RecipeError
from engine.hardware import Hardware, emulate, read_hardware
from engine.known_models import KNOWN_MODELS
from engine.ladder import descend
from engine.memory import closed_form
from engine.model_shape import ModelShape
from engine.plan import Plan, plan
from engine.ranks.planning import can_save_alone
from engine.ranks.rank_memory import BUCKETS, GATHERED
from engine.recipe import Recipe
from engine.recipe_sections import LadderSection
from engine.settling import settled
from engine.units import GIB

CPU = replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", ram_available_bytes=16 * GIB, num_cores=8, ram_limit_note=""
)


def cards(card: str, count: int, name: str = "") -> Hardware:
    """This machine with so many cards of a kind."""
    machine = emulate(CPU, card)
    (one,) = machine.gpus
    made = [replace(one, index=n, uuid=f"GPU-{card}-{n}", name=name or one.name) for n in range(count)]
    return replace(machine, gpus=tuple(made))


def recipe(*overrides: str) -> Recipe:
    text = '[model]\nname_or_path = "m"\n[data]\ndataset = "x.jsonl"\n[evaluation]\nenabled = false\n'
    return Recipe.parse(text, overrides=overrides)


def shape_of(name: str) -> ModelShape:
    return ModelShape.from_config(KNOWN_MODELS[name].config)


SMALL = next(name for name in KNOWN_MODELS if "270m" in name)
LARGE = next(name for name in KNOWN_MODELS if "12b" in name)


def refused(*overrides: str, machine: Hardware = CPU) -> str:
    with pytest.raises(RecipeError) as caught:
        plan(recipe(*overrides), machine, None)
    return str(caught.value)


def test_by_itself_a_plan_uses_one_card_and_tells_of_the_others() -> None:
    chosen = plan(recipe(), cards("t4", 4), None)
    assert (chosen.world_size, chosen.strategy, chosen.device_uuids) == (1, "none", ())
    assert '3 more cards are here: distributed.nproc_per_node = "auto" uses them' in chosen.notes


def test_auto_takes_all_cards_of_the_kind_with_the_most_memory() -> None:
    mixed = replace(cards("t4", 3), gpus=(*cards("t4", 3).gpus, *cards("24GiB", 2).gpus))
    chosen = plan(recipe("distributed.nproc_per_node=auto"), mixed, None)
    assert chosen.device_uuids == ("GPU-24GiB-0", "GPU-24GiB-1")
    assert any("3 other cards are left alone" in note for note in chosen.notes)


def test_on_a_cpu_each_rank_gets_its_part_of_cores_and_ram() -> None:
    chosen = plan(recipe("distributed.nproc_per_node=2"), CPU, None)
    assert (chosen.strategy, chosen.num_threads, chosen.capacity_bytes) == ("ddp", 4, 8 * GIB)
    assert plan(recipe("distributed.nproc_per_node=auto"), CPU, None).world_size == 1
    sizes = ("training.per_device_train_batch_size=8", "training.gradient_accumulation_steps=1")
    assert plan(recipe("distributed.nproc_per_node=4", *sizes), CPU, None).effective_batch_size == 32


def test_more_processes_than_devices_is_refused_with_what_keeps_the_effective_batch_size() -> None:
    told = refused("distributed.nproc_per_node=4", "training.gradient_accumulation_steps=2", machine=cards("t4", 2))
    assert "asks for 4 cards, and here are 2 cards" in told
    assert "--set distributed.nproc_per_node=2 --set training.gradient_accumulation_steps=4" in told
    assert "here are 8 usable cores" in refused("distributed.nproc_per_node=33")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["distributed.nnodes=2"], "must know where to find the first"),
        (["distributed.nnodes=2", "distributed.rdzv_endpoint=here"], "is no HOST:PORT"),
        (["distributed.nnodes=2", "distributed.rdzv_endpoint=....:29500"], "is no HOST:PORT"),
        (["distributed.nnodes=2", "distributed.rdzv_endpoint=-:29500"], "is no HOST:PORT"),
        (["distributed.nnodes=2", "distributed.rdzv_endpoint=[:::::]:29500"], "is no HOST:PORT"),
        (["distributed.rdzv_endpoint=a:29500"], "means nothing on one host"),
        (["distributed.rdzv_backend=static"], "means nothing on one host"),
        (["distributed.timeout_seconds=100000000000000000"], "less than or equal"),
        (["distributed.strategy=fsdp2"], "there is one"),
        (["distributed.nproc_per_node=2", "distributed.deepspeed=z.json"], "has no effect"),
        (["distributed.nproc_per_node=2", "distributed.strategy=zero3"], 'Set strategy = "fsdp2"'),
        (
            ["distributed.nproc_per_node=2", "distributed.strategy=zero3", "distributed.deepspeed=z.json"],
            "unset distributed.deepspeed",
        ),
        (
            ["distributed.nproc_per_node=2", "distributed.strategy=fsdp2", "training.optim=adamw_8bit"],
            "cannot update a part",
        ),
    ],
)
def test_contradictions_are_named(overrides: list[str], told: str) -> None:
    assert told in refused(*overrides)


def test_the_model_stays_whole_where_it_fits_and_is_shared_out_where_it_does_not() -> None:
    two = recipe("distributed.nproc_per_node=2", "training.max_length=512", "ladder.enabled=false")
    fits = plan(two, cards("24GiB", 2), shape_of(SMALL))
    assert fits.strategy == "ddp"
    assert "fits on each device" in dict(fits.reasons)["strategy"]
    large = plan(two, cards("24GiB", 2), shape_of(LARGE))
    assert large.strategy == "fsdp2"
    assert "the whole model would need" in dict(large.reasons)["strategy"]
    assert any("loads the whole model into RAM" in note for note in large.notes)
    assert can_save_alone(fits)
    assert not can_save_alone(large)


def on(ranks: int, strategy: str, *overrides: str) -> Plan:
    asked = (f"distributed.nproc_per_node={ranks}", f"distributed.strategy={strategy}", *overrides)
    return plan(recipe(*asked), cards("24GiB", ranks), shape_of(SMALL))


@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_the_terms_of_one_rank_sum_to_its_peak(method: str) -> None:
    alone = plan(recipe(f"adapter.method={method}"), cards("24GiB", 1), shape_of(SMALL)).memory
    whole, parts = (on(2, strategy, f"adapter.method={method}").memory for strategy in ("ddp", "fsdp2"))
    assert alone is not None
    assert whole is not None
    assert parts is not None
    for memory in (whole, parts):
        assert sum(size for _, size in memory.terms) == memory.peak_bytes
        assert memory.needed_bytes - memory.peak_bytes == alone.needed_bytes - alone.peak_bytes
    trained = dict(alone.terms)["weights" if method == "full" else "adapter"]
    assert dict(whole.terms)[BUCKETS] == trained
    assert dict(parts.terms)["weights"] == -(-dict(alone.terms)["weights"] // 2)
    assert dict(parts.terms)[GATHERED] > 0
    assert "derived, not measured" in parts.source


def test_the_ladder_shares_the_model_out_before_it_rounds_the_base_and_the_settled_recipe_says_so() -> None:
    asked = recipe("distributed.nproc_per_node=2", "distributed.strategy=ddp", "training.max_length=512")
    start = plan(asked, cards("24GiB", 2), shape_of(LARGE))
    found = descend(start, LadderSection.model_validate({}), closed_form(shape_of(LARGE)))
    assert found is not None
    names = [step.rung.name for step in found.steps]
    assert "shard_model" in names
    assert "base_4bit" not in names[: names.index("shard_model")]
    assert found.plan.effective_batch_size == start.effective_batch_size
    assert settled(asked, found.plan).distributed.strategy == "fsdp2"
