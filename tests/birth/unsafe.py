"""Rules that are wrong on purpose, each in one point: what passes the shipped ones must catch them."""

from __future__ import annotations

from peerboot.model import Identity
from tests.birth.explore import NOBODY, Heard, Rec, Shipped, Token


class Hearsay(Shipped):
    """A peer's birth is adopted because it names my nonce."""

    def births(self, p: int, own: Rec, heard: Heard) -> set[Token]:
        told = {rec.token for rec in heard if rec is not None and rec.token is not None and rec.stage == "blank"}
        return super().births(p, own, heard) | {token for token in told if token[p] == own.nonce}


class MajorityIsEnough(Shipped):
    """A deadline is consent: with a majority heard, the silent ones count as blank."""

    def births(self, p: int, own: Rec, heard: Heard) -> set[Token]:
        silent = [q for q, rec in enumerate(heard) if rec is None and q != p]
        if 2 * (self.pods - len(silent)) > self.pods:
            heard = tuple(Rec(NOBODY) if q in silent else rec for q, rec in enumerate(heard))
        return super().births(p, own, heard)


class FirstAlone(Shipped):
    """Ordinal 0 forms alone, as scripts do: what others say is not waited for."""

    def births(self, p: int, own: Rec, heard: Heard) -> set[Token]:
        alone: Heard = tuple(None if q == p else Rec(NOBODY) for q in range(self.pods))
        return super().births(p, own, alone if p == 0 else heard)

    def forms(self, token: Token, pods: set[int]) -> bool:
        return token[0] in (own for own in token if own != NOBODY) and (0 in pods or super().forms(token, pods))


class SmallerSet(Shipped):
    """Only the pods that are seen now are expected: a lookup that lists fewer makes the set smaller."""

    def births(self, p: int, own: Rec, heard: Heard) -> set[Token]:
        known = 1 + max((q for q, rec in enumerate(heard) if rec is not None or q == p), default=0)
        smaller: Identity = self.identity(p, known)
        return super().births(p, own, heard) | self.ask(self.facts(p, own, heard, smaller))


class TokensIgnored(Shipped):
    """A born disk counts by its nonce, whatever it was born into."""

    def births(self, p: int, own: Rec, heard: Heard) -> set[Token]:
        bare = tuple(None if rec is None else Rec(rec.nonce) if rec.stage == "blank" else rec for rec in heard)
        return super().births(p, own, bare)


class MemorySurvives(Shipped):
    """What a pod heard survives the loss of its disk, and its renewal."""

    memory_survives = True


class NonceReused(Shipped):
    """A new disk, or a renewed one, has the old one's nonce."""

    nonce_reused = True


class BirthForgotten(Shipped):
    """The birth is not durable when the server may start."""

    birth_forgotten = True


class RenewsData(Shipped):
    """A disk with data is taken for one that holds only a bootstrap."""

    def renews(self, p: int, own: Rec, heard: Heard) -> bool:
        return super().renews(p, own._replace(stage="bootstrap") if own.stage == "data" else own, heard)


class StartsAgain(Shipped):
    """A blank disk whose server may have run starts as planned once more."""

    def starts_again(self, p: int, own: Rec, heard: Heard) -> bool:
        return own.stage == "cut" or super().starts_again(p, own, heard)


class EntersAsItWas(Shipped):
    """A blank disk whose server may have run starts as the member that the cluster lists."""

    def enters(self, p: int, own: Rec, token: Token) -> frozenset[str]:
        return super().enters(p, own, token) | ({"starts"} if own.stage == "cut" and own.token == token else set())


class StandbyFeeds(Shipped):
    """A seed system in which what was cloned goes on passing the data on when the seed has lost its disk."""

    def feeds(self, token: Token, holders: set[int]) -> bool:
        return bool(holders) or super().feeds(token, holders)
