"""The trained tiny run of the tests of evaluation."""

from tests.engine.evaluation.conftest import one_thread, rig  # noqa: F401 - fixtures
