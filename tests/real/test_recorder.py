"""The recorder on real servers: what a bundle tells of a lost disk is what was decided, and becomes a case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peerboot.cases.outcome import outcome_of
from peerboot.cases.reader import parse
from peerboot.cli import main
from peerboot.lab.servers import Server
from tests.real.scenes import MakeLab, decided, formed


async def test_a_lost_disk_is_recorded(
    make_lab: MakeLab, etcd: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk is lost and replaced. The bundle of its running Pod has each decision that its log has; this release
    decides the same offline; the replacement is a case of a few words that passes. Another Pod's process is killed:
    what it recorded before is in the bundle of the next one.
    """
    async with make_lab(etcd) as lab:
        await formed(lab)
        await lab.wipe(0)
        await lab.until_ready(120)
        taken = await lab.pods[0].run("bundle")
        assert (taken.returncode, taken.stderr) == (0, "")
        logged = decided(lab, 0)
        secret = lab.pods[0].env["PEERBOOT_SECRET_FILE"]
        (key,) = Path(secret).read_text().split()
        lab.kill(1, "peerboot")
        await lab.until_ready(120)
        after = json.loads((await lab.pods[1].run("bundle")).stdout)
    bundle = json.loads(taken.stdout)
    told = [f"{moment['decision']['kind']}/{moment['decision']['rule']}" for moment in bundle["moments"]]
    assert told == logged[-len(told) :]
    assert "replace/replace-lost" in told
    assert key not in taken.stdout
    assert len({moment["boot"] for moment in after["moments"]}) == 2
    path = tmp_path / "db-0.bundle"
    path.write_text(taken.stdout)
    assert main(["replay", str(path)]) == 0
    assert "done: remove " in capsys.readouterr().out
    assert main(["replay", str(path), "--as-case", str(told.index("replace/replace-lost") + 1), "--short"]) == 0
    given, _, outcome = capsys.readouterr().out.partition("\n----\n")
    assert outcome_of(parse(given)) == outcome.strip()
    assert "decision: replace (replace-lost)" in outcome
    assert main(["replay", str(path), "--as-case", "all"]) == 0
    blocks = capsys.readouterr().out.split("\n====\n")
    assert len(told) + 1 == len(blocks)
    for block in blocks:
        given, _, outcome = block.partition("\n----\n")
        assert outcome_of(parse(given)) == outcome.strip()
