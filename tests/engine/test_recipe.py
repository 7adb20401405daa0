"""Recipes: read, judged all at once, overridden and written. What holds for every field is in contracts/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.errors import RecipeError
from engine.recipe import Recipe, literal_values, values_of
from engine.recipe import faults as faults_of

SMALLEST = '[model]\nname_or_path = "m"\n[data]\ndataset = "rows.jsonl"\n'


def faults(text: str, *overrides: str) -> list[str]:
    """What is told of a recipe: one line per fault."""
    with pytest.raises(RecipeError) as told:
        Recipe.parse(text, overrides=overrides)
    assert told.value.exit_code == 2
    assert told.value.means == "Nothing was started."
    return [line.strip() for line in told.value.happened.splitlines()[1:]]


def test_two_lines_make_a_recipe() -> None:
    recipe = Recipe.parse(SMALLEST)
    assert (recipe.adapter.method, recipe.training.max_length) == ("lora", 1024)


def test_all_faults_are_told_at_once_each_with_its_field() -> None:
    told = faults(
        '[model]\nname_or_pth = "m"\n[data]\ndataset = ""\n[adapter]\nr = 0\n'
        '[training]\nlearning_rate = -1.0\noptim = "sgd"\n[memory]\nlimit = 6\n'
    )
    fields = [line.partition(":")[0] for line in told]
    assert fields == [
        "model.name_or_path",
        "model.name_or_pth",
        "data.dataset",
        "adapter.r",
        "training.learning_rate",
        "training.optim",
        "memory.limit",
    ]
    assert "Did you mean model.name_or_path?" in told[1]
    assert all(len(line) > len(field) + 20 for line, field in zip(told, fields, strict=True))


def test_a_value_out_of_range_is_answered_with_the_range_the_value_and_what_the_field_means() -> None:
    (told,) = faults(SMALLEST + "[adapter]\nr = 4096\n")
    assert told.startswith("adapter.r: input should be less than or equal to 1024 (given: 4096). Rank of the LoRA")


def test_a_field_of_two_kinds_is_one_fault_that_names_both() -> None:
    (told,) = faults(SMALLEST + '[training]\ngradient_checkpointing = "maybe"\n')
    assert "valid boolean" in told
    assert "'auto'" in told


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("[model]\nload_in_4bit = true", 'adapter.method = "qlora"'),
        ("[adapter]\nlora_r = 8", "adapter.r"),
        ("[training]\nepochs = 3", "training.num_train_epochs"),
        ("[training]\nlr = 1e-4", "training.learning_rate"),
        ("[training]\nbatch_size = 4", "training.per_device_train_batch_size"),
        ("[training]\nmax_seq_length = 512", "training.max_length"),
        ("[training]\nwarmup_ratio = 0.1", "training.warmup_steps (a value below 1 is a share)"),
        ("[training]\nfp16 = true", 'model.dtype = "float16"'),
    ],
)
def test_a_key_of_another_tool_is_answered_with_where_it_went(line: str, remedy: str) -> None:
    text = f'{line}\nname_or_path = "m"\n[data]\ndataset = "d"\n' if "[model]" in line else f"{SMALLEST}{line}\n"
    (told,) = faults(text)
    assert told.endswith(f"is no field of a recipe. finetui spells it {remedy}.")


def test_a_key_in_the_wrong_table_is_answered_with_the_right_one() -> None:
    (told,) = faults(SMALLEST + "[adapter]\nmax_length = 512\n")
    assert told.endswith("Did you mean training.max_length?")


def test_a_misspelled_table_is_answered_with_the_nearest_table() -> None:
    (told,) = faults(SMALLEST + "[trainin]\nmax_steps = 3\n")
    assert told == "trainin: is no field of a recipe. Did you mean training?"


def test_a_key_that_could_be_either_of_two_names_both() -> None:
    (told,) = faults("seed = 3\n" + SMALLEST)
    assert told.endswith("Did you mean data.seed or training.seed?")


def test_a_value_where_a_table_belongs_is_said_so() -> None:
    told = faults('model = "m"\n[data]\ndataset = "d"\n')
    assert told == ["model: is a table of fields, not a value. Write [model] on a line of its own."]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-1.0"])
@pytest.mark.parametrize(
    "field", ["learning_rate", "weight_decay", "num_train_epochs", "max_grad_norm", "warmup_steps"]
)
def test_a_number_that_is_none_is_refused_in_a_sentence(field: str, value: str) -> None:
    (told,) = faults(f"{SMALLEST}[training]\n{field} = {value}\n")
    assert told.startswith(f"training.{field}: input should be ")
    assert f"(given: {float(value)!r})" in told


@pytest.mark.parametrize("field", ["adapter.r", "adapter.lora_alpha", "training.max_steps", "data.eval_fraction"])
def test_a_truth_value_is_not_taken_for_a_number(field: str) -> None:
    assert "input should be a number, not true or false" in faults(SMALLEST, f"{field}=true")[0]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[adapter]\nmethod = "full"\nuse_dora = true', "adapter.method"),
        ("[adapter]\ntarget_modules = []", "adapter.target_modules"),
        ('[memory]\nlimit = "lots"', "memory.limit"),
        ('[memory]\nlimit = "0 GiB"', "memory.limit"),
        ("[evaluation]\nanswer_pattern = '(a'", "evaluation.answer_pattern"),
        ("[evaluation]\nanswer_pattern = '(a)(b)'", "evaluation.answer_pattern"),
        ("[evaluation]\nanswer_pattern = '(a{99999999999999})'", "evaluation.answer_pattern"),
        ("[evaluation]\ngroup_pattern = 'no group'", "evaluation.group_pattern"),
        ('[evaluation]\nbaselines = ["examples"]', "evaluation.baselines"),
        ('[evaluation]\nmetrics = ["code_execution"]', "evaluation.run_code"),
        ('[evaluation]\nmetrics = ["command_validity"]', "evaluation.grammar"),
        ('[evaluation]\ngrammar = "generator:nosuch"', "evaluation.grammar"),
        ('[evaluation]\nmetrics = ["exact_macht"]', "evaluation.metrics"),
    ],
)
def test_a_fault_between_fields_names_the_field_to_change_and_how(text: str, field: str) -> None:
    (told,) = faults(f"{SMALLEST}{text}\n")
    assert told.startswith(f"{field}: ")
    assert told.count(".") >= 3


def test_the_last_answer_only_is_refused_where_every_token_is_trained() -> None:
    (told,) = faults(SMALLEST, "data.trained_answers=last", "data.completion_only_loss=false")
    assert told.startswith("data.trained_answers: ")
    assert "data.completion_only_loss = true" in told
    assert Recipe.parse(SMALLEST).data.trained_answers == "every"


def test_splits_that_leave_nothing_to_train_on_or_to_score_are_faults() -> None:
    assert "no rows to train on" in faults(SMALLEST, "data.eval_fraction=0.6", "data.test_fraction=0.6")[0]
    told = faults(SMALLEST, "data.test_fraction=0", "data.unseen_answers=3")
    assert [line.partition(":")[0] for line in told] == ["data.unseen_answers", "evaluation.enabled"]


@pytest.mark.parametrize(
    ("override", "section", "field", "value"),
    [
        ("data.dataset=/a folder/rows of mine.jsonl", "data", "dataset", "/a folder/rows of mine.jsonl"),
        ('data.dataset="quoted name.jsonl"', "data", "dataset", "quoted name.jsonl"),
        ("data.dataset=it's #1.jsonl", "data", "dataset", "it's #1.jsonl"),
        ("data.dataset=a=b.csv", "data", "dataset", "a=b.csv"),
        ("run.name=2026", "run", "name", "2026"),
        ("run.name=true", "run", "name", "true"),
        ("data.system=1\nx = 2", "data", "system", "1\nx = 2"),
        ("training.max_steps=20", "training", "max_steps", 20),
        (" training . max_steps = 20 ", "training", "max_steps", 20),
        ("training.learning_rate=2e-3", "training", "learning_rate", 2e-3),
        ("adapter.use_dora=true", "adapter", "use_dora", True),
        ("adapter.use_dora=True", "adapter", "use_dora", True),
        ("training.gradient_checkpointing=auto", "training", "gradient_checkpointing", "auto"),
        ("training.gradient_checkpointing=false", "training", "gradient_checkpointing", False),
        ('adapter.target_modules=["q_proj", "v_proj"]', "adapter", "target_modules", ["q_proj", "v_proj"]),
        ("adapter.target_modules=all-linear", "adapter", "target_modules", "all-linear"),
        ("ladder.costly=[]", "ladder", "costly", []),
        ('data.columns={instruction = "question"}', "data", "columns", {"instruction": "question"}),
        ("memory.limit=6GiB", "memory", "limit", "6GiB"),
    ],
)
def test_an_override_takes_what_a_person_types(override: str, section: str, field: str, value: object) -> None:
    assert getattr(getattr(Recipe.parse(SMALLEST, overrides=[override]), section), field) == value


def test_an_empty_override_takes_a_field_back_to_its_default() -> None:
    text = SMALLEST + "[training]\nmax_steps = 5\n"
    assert Recipe.parse(text, overrides=["training.max_steps="]).training.max_steps is None
    assert Recipe.parse(text, overrides=["data.system="]).data.system is None
    assert Recipe.parse(text, overrides=["training.max_length= "]).training.max_length == 1024


def test_the_last_of_two_overrides_wins() -> None:
    recipe = Recipe.parse(SMALLEST, overrides=["training.max_steps=5", "training.max_steps=7"])
    assert recipe.training.max_steps == 7


@pytest.mark.parametrize("override", ["max_steps", "=5", "training.=5", ".x=5", "a.b.c=5", "title.x=5", ""])
def test_an_override_of_another_form_is_refused_with_an_example(override: str) -> None:
    with pytest.raises(RecipeError, match=r"not of the form section\.key=value") as told:
        Recipe.parse('title = "t"\n' + SMALLEST, overrides=[override])
    assert "--set training.max_steps=20" in told.value.remedy


@pytest.mark.parametrize("override", ["training.max_stps=5", "training.max_steps=soon", "ladder.costly=halve_rank"])
def test_an_override_is_judged_like_a_line_of_the_file(override: str) -> None:
    assert faults(SMALLEST, override)[0].startswith(override.partition("=")[0] + ": ")


def test_bytes_of_the_command_line_that_are_no_text_are_a_fault_of_the_field() -> None:
    assert faults(SMALLEST, "data.dataset=\udcff.jsonl")[0].startswith("data.dataset: ")


@pytest.mark.parametrize(
    "text",
    [
        'He said "no" \\ and left',
        "two\nlines\n\n",
        "\ttab\r\nand \x01\x1b[31mcontrol\x7f",
        "żółw 漢字 🦥 \u2028 \u202e",
        "'''\"\"\"",
        "# no comment",
        "",
    ],
)
def test_odd_texts_survive_writing_and_reading_byte_for_byte(text: str) -> None:
    values = {"model": {"name_or_path": "m"}, "data": {"dataset": "d", "system": text, "columns": {text: text}}}
    recipe = Recipe.from_values(values | {"description": text})
    again = Recipe.parse(recipe.to_toml())
    assert again == recipe
    assert again.to_toml().encode() == recipe.to_toml().encode()


def test_the_hash_follows_what_changes_the_result_and_nothing_else() -> None:
    plain = Recipe.parse(SMALLEST)
    assert Recipe.parse('title = "t"\n' + SMALLEST, overrides=["run.name=other"]).sha256() == plain.sha256()
    assert Recipe.parse(SMALLEST, overrides=["training.seed=7"]).sha256() != plain.sha256()
    assert Recipe.parse(plain.to_toml()).sha256() == plain.sha256()


@pytest.mark.parametrize("content", [b"", b"\n\n# only a comment\n"])
def test_an_empty_file_is_a_recipe_that_lacks_its_model_and_rows(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"model: is missing.*\n.*data: is missing"):
        Recipe.load(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x7fELF\x00\x01\xff\xfe", "no UTF-8 text"),
        ("title = 'gr\xfc\xdfe'".encode("latin-1"), "no UTF-8 text"),
        (b"\x00" * 50, "not valid TOML"),
        (b"title = \n", "not valid TOML"),
        (b"a = " + b"[" * 50_000, "not valid TOML"),
        (b"# " + b"x" * 2_000_000, "larger than 1 MiB"),
    ],
    ids=["binary", "latin-1", "zeros", "cut short", "nested without end", "huge"],
)
def test_a_file_that_is_no_recipe_is_refused_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=why) as told:
        Recipe.load(path)
    assert str(path) in told.value.happened
    assert told.value.remedy


def test_a_folder_a_missing_file_and_an_endless_one_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.toml", Path("/dev/zero")):
        with pytest.raises(RecipeError, match=r"cannot be read as a recipe|not valid TOML"):
            Recipe.load(path)


def test_a_file_with_the_line_ends_of_windows_is_read(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes((SMALLEST + 'system = """a\nb"""\n').replace("\n", "\r\n").encode())
    assert Recipe.load(path).data.system == "a\nb"


def test_the_few_values_of_a_field_are_told_and_any_others_are_not() -> None:
    assert literal_values("adapter.method") == ("full", "lora", "qlora")
    assert literal_values("training.gradient_checkpointing") == ("auto", "selective", True, False)
    assert literal_values("adapter.target_modules") == ("all-linear",)
    assert literal_values("adapter.r") == literal_values("nothing.at.all") == ()


def test_the_faults_of_values_are_those_that_reading_them_would_raise() -> None:
    values = values_of('[model]\nname_or_path = "m"\n[data]\ndataset = "d"\n', overrides=["adapter.r=0"])
    assert [each.field for each in faults_of(values)] == ["adapter.r"]
    with pytest.raises(RecipeError, match=re.escape(str(faults_of(values)[0]))):
        Recipe.from_values(values)
