"""Settings from the environment, per service."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tiketi_runtime.settings import RuntimeSettings, WithDatabase, WithRedis, from_environment


class Sample(RuntimeSettings, WithDatabase, WithRedis, env_prefix="TIKETI_SAMPLE_"):
    pause: timedelta = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKETI_SAMPLE_DATABASE_URL", "postgresql://sample@localhost/sample")
    monkeypatch.setenv("TIKETI_SAMPLE_REDIS_URL", "redis://localhost")


def test_a_service_reads_its_own_variables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKETI_OTHER_PORT", "1")
    monkeypatch.setenv("PORT", "2")
    monkeypatch.setenv("TIKETI_SAMPLE_DATABASE_POOL_SIZE", "3")
    settings = from_environment(Sample)
    assert (settings.port, settings.database_pool_size) == (8000, 3)


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("0.25", 0.25), ("PT1M", 60), ("P1D", 86_400)])
def test_durations_are_seconds_or_iso_8601(monkeypatch: pytest.MonkeyPatch, text: str, seconds: float) -> None:
    monkeypatch.setenv("TIKETI_SAMPLE_PAUSE", text)
    assert from_environment(Sample).pause.total_seconds() == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"),
        ("PORT", "http"),
        ("LOG_LEVEL", "LOUD"),
        ("PAUSE", "soon"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_URL", None),
    ],
)
def test_a_wrong_variable_ends_the_process_with_2_and_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str | None
) -> None:
    variable = f"TIKETI_SAMPLE_{name}"
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        from_environment(Sample)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{variable}: ")


def test_missing_variables_are_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"TIKETI_SAMPLE_{name}")
    with pytest.raises(SystemExit):
        from_environment(Sample)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("TIKETI_SAMPLE_DATABASE_URL, TIKETI_SAMPLE_REDIS_URL: not set; set it, or run the command")
    assert "exec deploy/sample -- " in line
    assert "tiketi_local run sample -- " in line
