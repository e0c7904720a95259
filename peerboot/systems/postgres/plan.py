"""Decision to files and calls, for Postgres. Pure.

The permit is ``run.ok``, for which ``launch.sh`` waits in the server's container. A *first* permit names one plan, that
makes the data directory once: by initdb for the seed of a birth, as a copy of the server that takes the writes for all
others. A *resume* permit names the system identifier that the data must have. Under either the server starts as one
that copies; the call ``promote`` comes after that, if it comes.
"""

from __future__ import annotations

import hashlib

import msgspec

from peerboot import steps
from peerboot.model import (
    Action,
    Call,
    Claim,
    Decision,
    Facts,
    Intent,
    Part,
    Plan,
    RecordClaim,
    RecordCrown,
    RecordIntent,
    RecordPermit,
    Renew,
    UseConsent,
    WriteFile,
)
from peerboot.rules import asking, promoting
from peerboot.rules.parts import HAND_OVER, REBUILD, REWIND, own_part, primary_of, staying, stop_reason
from peerboot.rules.words import consent_nonce, statement_of
from peerboot.systems.postgres import launch, routes, texts
from peerboot.systems.postgres.config import PostgresConfig
from peerboot.systems.postgres.routes import Routes

PERMIT_NAME = launch.PERMIT_NAME
SECRETS = (launch.PASSWORDS_NAME, launch.ROLES_NAME, "tls.key")
FILES = (
    launch.SETTINGS_NAME, launch.HBA_NAME, launch.LAUNCH_NAME, launch.STOP_NAME, launch.REWINDS_NAME,
    "tls.crt", "ca.crt", *SECRETS, PERMIT_NAME,
)  # fmt: skip
STOPS = {
    "diverged": REWIND, "two-primaries": REWIND, "newer-timeline": REBUILD, "same-timeline": REBUILD,
    "cannot-follow": REBUILD, "hand-over-writes": HAND_OVER, "leave-writes": HAND_OVER,
}  # fmt: skip
"""Rules that end a running server, and what for."""
NO_ROUTES = Routes()
ABOUT_TO_START = 10.0
"""Seconds from data's first sight for which the permit that made it stays."""
CHECKPOINT_UNTIL = 15
"""Up to this release a server that was just promoted tells pg_rewind of its old timeline until it has made one."""


def plan(config: PostgresConfig, facts: Facts, decision: Decision, wanted: Routes = NO_ROUTES) -> Plan:
    """The actions that follow, in order. Empty in observe mode: it never writes, calls or renames."""
    if facts.mode == "observe":
        return Plan()
    return Plan(
        actions=(
            *_standing(config, facts),
            *_routes(config, facts, wanted),
            *_remembered(facts),
            *_actions(config, facts, decision),
        )
    )


def _standing(config: PostgresConfig, facts: Facts) -> tuple[Action, ...]:
    """Files that depend on settings and on who is there; the script is there before any permit."""
    found = {
        **config.tls_files(),
        launch.SETTINGS_NAME: settings_text(config, facts),
        launch.HBA_NAME: config.hba(),
        launch.PASSWORDS_NAME: config.passwords(),
        launch.LAUNCH_NAME: launch.script(),
    }
    return tuple(
        action for name, text in found.items() for action in steps.write(facts, name, text, secret=name in SECRETS)
    )


def _routes(config: PostgresConfig, facts: Facts, wanted: Routes) -> tuple[Action, ...]:
    """Files for what leads clients to the one that takes writes; of two, or none, they stay as they were."""
    if not wanted.kinds:
        return ()
    pods = facts.identity.expected or (facts.identity.pod,)
    made = routes.files(config, wanted, pods, _roles(facts))
    return tuple(
        action for name, text in made.items() for action in steps.write(facts, name, text, secret=name in SECRETS)
    )


def _roles(facts: Facts) -> dict[str, routes.Role]:
    """By the servers' own words, and by that of the one that takes writes of those that copy it."""
    primary = primary_of(facts)
    if primary is None or primary.part is None:
        return {}
    copies = {view.pod for view in facts.cluster.views if view.part is not None and view.healthy}
    replicas: dict[str, routes.Role] = dict.fromkeys((*sorted(copies), *primary.part.copied_by), "replica")
    return {**replicas, primary.pod: "primary"}


def settings_text(config: PostgresConfig, facts: Facts) -> str:
    """``peerboot.conf``, with this pod's slot where the server that takes the writes has it; while none is seen, as it
    was.
    """
    primary, mine = primary_of(facts), texts.slot(facts.identity.pod)
    if primary is not None and primary.part is not None and primary.pod != facts.identity.pod:
        slot = mine in primary.part.slots and mine not in primary.part.lost_slots
    else:
        slot = f"primary_slot_name = {texts.setting(mine)}\n" in facts.files.get(launch.SETTINGS_NAME, "")
    return config.conf(slot=slot, synchronous=staying(facts))


def _remembered(facts: Facts) -> tuple[Action, ...]:
    """What this volume has to remember of who took the writes, whatever is decided."""
    record, disk, own = facts.record, facts.disk, own_part(facts)
    if record.problem or record.foreign or not record.nonce:
        return ()
    if promoting.drops_crown(facts):
        return (RecordCrown(term=0),)
    if own is not None and own.writes:
        # By peerboot's call, or by a person's hand: it is the last one that does.
        steps_: tuple[Action, ...] = ()
        if record.crown != own.term:
            steps_ += (RecordCrown(term=own.term),)
        return (*steps_, RecordIntent(intent=None)) if record.intent is not None else steps_
    if record.intent is not None and not record.intent.called and own is None and _is_down(facts):
        # Others yield to nobody else while it stands, and without its server it comes to nothing.
        return (RecordIntent(intent=None),)
    if disk.led and not disk.running and disk.term > max(record.crown, record.let_go):
        # Data from before peerboot, or of a server that a person told to take writes.
        return (RecordCrown(term=disk.term),)
    return ()


def _is_down(facts: Facts) -> bool:
    return not facts.disk.running and facts.disk.kind != "unknown"


def _actions(config: PostgresConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    match decision.kind, decision.rule:
        case "form", "form":
            return (*steps.withdraw(facts, PERMIT_NAME), *steps.be_born(facts), *steps.spend(facts, decision))
        case "form", "born":
            return (*steps.before_first_permit(facts), RecordPermit(), *_init(config, facts, decision))
        case "join", "join":
            if facts.record.permitted_wall is not None:
                # A plan is good for one copy: this disk has to be another one before it copies again.
                return (*steps.withdraw(facts, PERMIT_NAME), Renew(why="claimed-before"))
            claim = Claim(cluster=facts.cluster.cluster, member="", nonce=facts.record.nonce)
            return (*steps.withdraw(facts, PERMIT_NAME), RecordClaim(claim=claim))
        case (("form" | "join"), "first-permit"):
            return ()
        case "join", "claimed" if decision.may_run:
            return (RecordPermit(), *_clone(config, facts, decision))
        case "resume", "diverged":
            return _rewind(config, facts, decision)
        case (("resume" | "idle"), _):
            return _resume(config, facts, decision)
        case "replace", _ if facts.disk.running:
            return _stop(facts, decision)
        case "replace", _:
            return (*steps.become_blank(facts, decision, PERMIT_NAME), *_spent(facts))
        case "renew", _:
            return steps.become_blank(facts, decision, PERMIT_NAME)
        case "wait", "anchor-forbids":
            return steps.forget_anchor(facts, decision)
        case "wait", name if name in STOPS and not decision.may_run:
            return _stop(facts, decision)
    return () if decision.may_run else steps.withdraw(facts, PERMIT_NAME)


# ------------------------------------------------------------------- permits


def _init(config: PostgresConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    born = facts.record.birth
    if born is None:
        raise ValueError("forming needs a birth")
    salt = hashlib.sha256(f"salt\n{facts.record.nonce}".encode()).digest()[: texts.SALT]
    permit = launch.Permit(
        kind="first", plan=steps.plan_id("init", born.token, facts.record.nonce), work="init", data=config.data_dir
    )
    return (*steps.write(facts, launch.ROLES_NAME, config.roles(salt), secret=True), *_permit(facts, decision, permit))


def _clone(config: PostgresConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    claim, primary = facts.record.claim, primary_of(facts)
    if claim is None or primary is None or primary.part is None:
        raise ValueError("a copy needs a claim, and a server to copy")
    slot = texts.slot(facts.identity.pod)
    permit = launch.Permit(
        kind="first",
        plan=steps.plan_id("clone", claim.cluster, claim.nonce),
        work="clone",
        data=config.data_dir,
        system=claim.cluster,
        source=config.source(facts.identity.others or (primary.pod,), target_session_attrs="read-write"),
        slot=slot if slot in primary.part.slots and slot not in primary.part.lost_slots else "",
    )
    return _permit(facts, decision, permit)


def _resume(config: PostgresConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    permit = launch.Permit(
        kind="resume",
        plan=steps.plan_id("start", facts.disk.cluster),
        work="start",
        data=config.data_dir,
        system=facts.disk.cluster,
    )
    mend = (Renew(why="torn-state"),) if facts.record.torn else ()
    sealed = (*steps.seal(facts), *steps.spend(facts, decision))
    # The permit comes first: what cannot be written down of a volume keeps no server from starting.
    return (
        *(() if _was_just_made(config, facts) else _permit(facts, decision, permit)),
        *mend,
        *sealed,
        *_duty(facts, decision),
        *steps.remember(facts, decision),
    )


def _was_just_made(config: PostgresConfig, facts: Facts) -> bool:
    """Whether the permit that stands is the one by which this data was made a moment ago. The script is about to start
    with it, and would look for another one first if it were replaced under its hands.
    """
    now = launch.read_permit(facts.files.get(PERMIT_NAME, ""))
    if now is None or now.kind != "first" or facts.disk.running or facts.now - facts.disk.since > ABOUT_TO_START:
        return False
    return now.data == config.data_dir and now.system in ("", facts.disk.cluster)


def _rewind(config: PostgresConfig, facts: Facts, decision: Decision) -> tuple[Action, ...]:
    primary = primary_of(facts)
    if primary is None or primary.part is None:
        raise ValueError("a rewind needs a server that takes the writes")
    permit = launch.Permit(
        kind="resume",
        plan=steps.plan_id(
            "rewind", facts.disk.cluster, facts.record.nonce, str(facts.disk.term), str(primary.part.term)
        ),
        work="rewind",
        data=config.data_dir,
        system=facts.disk.cluster,
        source=config.source((primary.pod,)),
    )
    now = launch.read_permit(facts.files.get(PERMIT_NAME, ""))
    if now is not None and (now.work, now.source) == (permit.work, permit.source):
        # What it is about moves while it works: the disk's timeline is another one in the end.
        return ()
    first = (Call(name="checkpoint", pod=primary.pod),) if primary.part.release <= CHECKPOINT_UNTIL else ()
    plans = f"{facts.files.get(launch.REWINDS_NAME, '')}{permit.plan}\n"
    # Known before it may begin, so that nobody moves a directory under its hands.
    return (*first, *steps.write(facts, launch.REWINDS_NAME, plans), *_permit(facts, decision, permit))


def _stop(facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """The permit back first, or the server would be started again at once."""
    why = STOPS.get(decision.rule, REBUILD)
    stop = (
        (WriteFile(name=launch.STOP_NAME, content=f"stop {why}\n"),)
        if facts.disk.running and stop_reason(facts) != why
        else ()
    )
    # What it has yet to write out would keep it from ending, while nobody can write.
    first = (Call(name="checkpoint", pod=facts.identity.pod),) if stop and why == HAND_OVER else ()
    return (*first, *steps.withdraw(facts, PERMIT_NAME), *stop)


# --------------------------------------------------------------------- duties


def _duty(facts: Facts, decision: Decision) -> tuple[Action, ...]:
    """What follows at the servers: at most one call that changes who takes the writes."""
    intent = facts.record.intent
    if facts.holds and decision.rule != "give-way":
        return ()
    match decision.rule:
        case "ask-to-promote":
            return (*_ask(facts), *_spent(facts))
        case "give-way":
            # A call that came to nothing made nobody the last one that takes writes.
            undone = intent is not None and intent.called and promoting.agreement(facts).kind != "spent"
            return (*((RecordCrown(term=0),) if undone else ()), RecordIntent(intent=None))
        case "promote" if intent is not None:
            # Both are durable before the call, so that whatever becomes of it nobody forgets that it was made.
            return (
                RecordCrown(term=intent.standing.term + 1),
                RecordIntent(intent=msgspec.structs.replace(intent, called=True)),
                Call(name="promote", pod=facts.identity.pod),
            )
        case "unregister":
            return (Call(name="unregister", member=decision.target),)
        case "serving":
            return _slots(facts) or _reload(facts)
        case "own-data":
            return _reload(facts)
    return ()


def _ask(facts: Facts) -> tuple[Action, ...]:
    standing, past = promoting.own_standing(facts), asking.chosen_past(facts)
    past_as = tuple(promoting.what_it_is(facts, pod) for pod in past)
    if standing is None:
        return ()
    if facts.record.intent is not None:
        return (RecordIntent(intent=msgspec.structs.replace(facts.record.intent, past=past, past_as=past_as)),)
    return (RecordIntent(intent=Intent(standing=standing, past=past, past_as=past_as)),)


def _spent(facts: Facts) -> tuple[Action, ...]:
    """Consents to what leads here under the name of another rule."""
    nonces = (consent_nonce(facts, rule) for rule in ("no-primary", "promote-waits"))
    return tuple(UseConsent(nonce=nonce) for nonce in nonces if nonce in facts.consents)


def _slots(facts: Facts) -> tuple[Action, ...]:
    """The one that takes writes keeps a slot for each expected pod that stays, before a server asks for it;
    the others keep none: what they have is of when they took the writes, and would hold log for nobody.
    """
    own = own_part(facts)
    if own is None:
        return ()
    if own.writes:
        lost = [slot for slot in own.lost_slots if slot in own.idle_slots and slot in _slots_to_renew(facts, own)]
        if lost:
            # From 18 on it cannot even be asked for. Made anew for a server that still needs what it lost, it would be
            # lost again at once.
            return (Call(name="drop-slot", member=lost[0], pod=facts.identity.pod),)
        missing = [slot for slot in map(texts.slot, staying(facts)) if slot not in own.slots]
        return (Call(name="make-slot", member=missing[0], pod=facts.identity.pod),) if missing else ()
    left = [slot for slot in own.idle_slots if slot in map(texts.slot, facts.identity.expected)]
    return (Call(name="drop-slot", member=left[0], pod=facts.identity.pod),) if left else ()


def _slots_to_renew(facts: Facts, own: Part) -> tuple[str, ...]:
    """Those of pods that are copied anew, or copy already without one."""
    words = {pod: statement_of(facts, pod) for pod in facts.identity.others}
    blank = (pod for pod, word in words.items() if word is not None and word.disk == "blank")
    return tuple(texts.slot(pod) for pod in (*blank, *own.copied_by))


def _reload(facts: Facts) -> tuple[Action, ...]:
    """Once the file is there: a server that has loaded another generation of it is told to load it."""
    own, text = own_part(facts), facts.files.get(launch.SETTINGS_NAME, "")
    if own is None or not text or own.loaded == generation_of(text):
        return ()
    return (Call(name="reload", pod=facts.identity.pod),)


def generation_of(text: str) -> str:
    """What ``peerboot.conf`` says of its own generation; empty where it says nothing."""
    _, _, rest = text.partition("peerboot.generation = '")
    return rest.partition("'")[0]


def _permit(facts: Facts, decision: Decision, permit: launch.Permit) -> tuple[Action, ...]:
    """Write the permit unless one for the very same stands there; the words in it may be of an earlier decision."""
    if launch.read_permit(facts.files.get(PERMIT_NAME, "")) == permit:
        return ()
    return (WriteFile(name=PERMIT_NAME, content=launch.permit_text(permit, decision.reason), permit=True),)
