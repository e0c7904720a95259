"""``peerboot-probe``: the one sentence of status.txt, and yes or no."""

from __future__ import annotations

from pathlib import Path

import pytest

from peerboot import probe

SENTENCE = "wait (wait-for-all): not heard: db-2 (not in DNS)."


@pytest.mark.parametrize(
    ("args", "answers", "code"),
    [
        ([], "startup=yes ready=no", 0),
        (["startup"], "startup=yes ready=no", 0),
        (["startup"], "startup=no ready=yes", 1),
        (["ready"], "startup=no ready=yes", 0),
        (["ready"], "startup=yes ready=no", 1),
        (["ready"], "startup=yes", 1),
        (["ready"], "ready=yessir", 1),
        (["startup"], "", 1),
    ],
    ids=["none is startup", "may start", "may not", "ready", "not ready", "not said", "another word", "one line only"],
)
def test_the_second_line_answers(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    args: list[str],
    answers: str,
    code: int,
) -> None:
    """The first line is printed, the second decides; exit 0 is yes, 1 is no."""
    monkeypatch.setenv("PEERBOOT_OUTPUT_DIR", str(tmp_path))
    (tmp_path / "status.txt").write_text(f"{SENTENCE}\n{answers}\n")
    assert (code, f"{SENTENCE}\n") == (probe.main(args), capsys.readouterr().out)


def test_a_yes_in_the_sentence_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands in the first line, quoted from others, cannot start a server."""
    monkeypatch.setenv("PEERBOOT_OUTPUT_DIR", str(tmp_path))
    (tmp_path / "status.txt").write_text("wait (x): db-1 said startup=yes ready=yes\nstartup=no ready=no\n")
    assert (probe.main(["startup"]), probe.main(["ready"])) == (1, 1)
    assert capsys.readouterr().out.startswith("wait (x): ")


@pytest.mark.parametrize(
    ("content", "say"),
    [
        (None, "peerboot has not written {root}/status.txt yet: No such file or directory"),
        (b"", "peerboot wrote no sentence yet"),
        (b"\xff\xfe\n", "\ufffd\ufffd"),
    ],
    ids=["missing", "empty", "garbage"],
)
def test_before_there_is_a_word_the_answer_is_no(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
    say: str,
) -> None:
    """No file, an empty one or garbage: exit 1 with a sentence, never an error."""
    monkeypatch.setenv("PEERBOOT_OUTPUT_DIR", str(tmp_path))
    if content is not None:
        (tmp_path / "status.txt").write_bytes(content)
    assert (1, say.replace("{root}", str(tmp_path)) + "\n") == (probe.main(["startup"]), capsys.readouterr().out)


@pytest.mark.parametrize(
    ("args", "code"),
    [(["liveness"], 2), (["startup", "ready"], 2), (["--help"], 0)],
    ids=["unknown word", "two words", "help"],
)
def test_called_wrongly_is_two(capsys: pytest.CaptureFixture[str], args: list[str], code: int) -> None:
    """Exit 2 with the usage; help is no mistake."""
    assert (code, f"{probe.USAGE}\n") == (probe.main(args), capsys.readouterr().out)


def test_it_looks_again_until_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With ``--for`` a yes that comes meanwhile is told at once, and a no when the time is over."""
    monkeypatch.setenv("PEERBOOT_OUTPUT_DIR", str(tmp_path))
    now, looks = [100.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def sleep(seconds: float) -> None:
        now[0] += seconds
        looks.append(now[0])
        if len(looks) == 4:
            (tmp_path / "status.txt").write_text("form (born): go.\nstartup=yes ready=no\n")

    monkeypatch.setattr("time.sleep", sleep)
    (tmp_path / "status.txt").write_text(f"{SENTENCE}\nstartup=no ready=no\n")
    assert (probe.main(["startup", "--for", "1.5"]), capsys.readouterr().out) == (0, "form (born): go.\n")
    assert now[0] == pytest.approx(100.2)
    assert (probe.main(["ready", "--for", "1.5"]), capsys.readouterr().out) == (1, "form (born): go.\n")
    assert now[0] <= 101.7


@pytest.mark.parametrize(
    "args", [["--for"], ["startup", "--for", "x"], ["ready", "--for", "61"], ["startup", "--for", "nan"]]
)
def test_a_time_that_is_none_is_called_wrongly(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 and the usage."""
    assert (probe.main(args), capsys.readouterr().out.partition("\n")[0]) == (2, probe.USAGE.partition("\n")[0])
