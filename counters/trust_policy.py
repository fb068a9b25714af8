"""The verifier's trust file: which logs' keys are trusted, and whose cosignatures are demanded (C2SP tlog-policy).

Lines of text; "#" begins a comment line, empty lines mean nothing:

    log <vkey> [<url>]                        a trusted log; the key's name is the log's origin
    witness <name> <vkey> [<url>]             a witness, to be referred to by its name here
    group <name> <k | any | all> <members…>   holds if so many of its members (witnesses, groups) cosigned
    quorum <name | none>                      what must hold; exactly once at most, `none` if it is not there

Reading fails closed: an unknown line, a name that means nothing, a key that is there twice or is in two groups makes
the whole policy unusable. So each witness can count in one way only.
"""

from dataclasses import dataclass
from typing import Final

from counters.event import Event
from counters.ledger.cosignature import WitnessKey, cosignatures
from counters.ledger.note import NoteError, Verifier

NO_QUORUM: Final = "none"
POLICY_FILE: Final = "trust-policy"
"""Where a ledger writes the policy of its own log, in its data directory, for its operator to hand out."""


class TrustPolicyError(ValueError):
    """The trust file cannot be used; the text names the line."""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of witnesses."""

    least: int  # so many members must hold
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrustPolicy:
    """What a verifier trusts."""

    logs: tuple[Verifier, ...]
    witnesses: dict[str, WitnessKey]  # by its name in the policy, which need not be its key's
    groups: dict[str, Group]
    quorum: str  # "none", or the name of a witness or group

    @classmethod
    def decode(cls, text: str) -> "TrustPolicy":
        """Return the policy in the text of a trust file.

        Raises:
            TrustPolicyError: a line is unknown, malformed, or refers to nothing.
        """
        policy = cls((), {}, {}, "")
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.split()
            if words and not words[0].startswith("#"):
                try:
                    policy = policy._with(words)
                except (TrustPolicyError, NoteError) as error:
                    raise TrustPolicyError(f"trust policy, line {number}: {error}") from error
        return policy if policy.quorum else cls(policy.logs, policy.witnesses, policy.groups, NO_QUORUM)

    def cosigned_by(self, note: bytes) -> set[str]:
        """Return the names (in the policy) of the witnesses that have cosigned a checkpoint's note.

        Raises:
            NoteError: the note is malformed, or a line of one of the witnesses does not verify.
        """
        found = cosignatures(note, self.witnesses.values())
        return {name for name, key in self.witnesses.items() if key in found}

    def is_met(self, cosigned: set[str]) -> bool:
        """Return whether these witnesses make the quorum."""
        return self.quorum == NO_QUORUM or self._holds(self.quorum, cosigned)

    def _holds(self, name: str, cosigned: set[str]) -> bool:
        group = self.groups.get(name)
        if group is None:
            return name in cosigned
        return sum(self._holds(member, cosigned) for member in group.members) >= group.least

    def _with(self, words: list[str]) -> "TrustPolicy":
        match words:
            case ["log", vkey] | ["log", vkey, _]:
                log = Verifier.decode(vkey)
                if any(log.public_key == known.public_key for known in self.logs):
                    raise TrustPolicyError("this log key is there already")
                return TrustPolicy((*self.logs, log), self.witnesses, self.groups, self.quorum)
            case ["witness", name, vkey] | ["witness", name, vkey, _]:
                self._check_new(name)
                key = WitnessKey.decode(vkey)
                if any(key.public_key == known.public_key for known in self.witnesses.values()):
                    raise TrustPolicyError("this witness key is there already: it would count twice")
                return TrustPolicy(self.logs, {**self.witnesses, name: key}, self.groups, self.quorum)
            case ["group", name, count, *members] if members:
                self._check_new(name)
                for member in members:
                    self._check_known(member)
                    self._check_free(member, members)
                least = {"any": 1, "all": len(members)}.get(count) or (int(count) if count.isdecimal() else 0)
                if not 1 <= least <= len(members):
                    raise TrustPolicyError(f"a group of {len(members)} cannot need {count!r} of them")
                groups = {**self.groups, name: Group(least, tuple(members))}
                return TrustPolicy(self.logs, self.witnesses, groups, self.quorum)
            case ["quorum", name] if not self.quorum:
                if name != NO_QUORUM:
                    self._check_known(name)
                return TrustPolicy(self.logs, self.witnesses, self.groups, name)
        raise TrustPolicyError(f"not understood: {' '.join(words)[:80]!r}")

    def _check_new(self, name: str) -> None:
        if name == NO_QUORUM or name in self.witnesses or name in self.groups:
            raise TrustPolicyError(f"the name {name!r} is taken")

    def _check_known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise TrustPolicyError(f"there is no witness or group {name!r} above")

    def _check_free(self, name: str, members: list[str]) -> None:
        if members.count(name) > 1 or any(name in group.members for group in self.groups.values()):
            raise TrustPolicyError(f"{name!r} is a member already: it would count twice")


def policy_of(event: Event, log: Verifier) -> str:
    """Return the text of a policy that trusts a log, and demands of the event's witnesses as many as entry 0 does.

    It is worth what the way is on which a verifier got it: an operator's own says which key is meant, no more.
    """
    lines = [f"log {log.encode()}"] + [f"witness {each.name} {each.vkey}" for each in event.witnesses]
    quorum = NO_QUORUM
    if event.required_witnesses:
        quorum = "required"
        while quorum in {each.name for each in event.witnesses}:
            quorum += "-"
        members = " ".join(each.name for each in event.witnesses)
        lines.append(f"group {quorum} {event.required_witnesses} {members}")
    return "".join(f"{line}\n" for line in [*lines, f"quorum {quorum}"])
