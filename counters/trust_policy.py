"""The verifier's trust file: which logs' keys are trusted, and whose cosignatures are demanded (C2SP tlog-policy).

Lines of text; "#" begins a comment line, empty lines mean nothing:

    log <vkey>                                a trusted log; the key's name is the log's origin
    witness <name> <vkey>                     a witness, to be referred to by its name here
    group <name> <k | any | all> <members…>   holds if so many of its members (witnesses, groups) cosigned
    quorum <name | none>                      what must hold; exactly once at most, `none` if it is not there

Reading fails closed: an unknown line or a name that means nothing makes the whole policy unusable.
"""

from dataclasses import dataclass
from typing import Final

from counters.ledger.note import NoteError, Verifier

NO_QUORUM: Final = "none"


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
    witnesses: dict[str, str]  # name -> vkey; this version does not verify cosignatures
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

    def _with(self, words: list[str]) -> "TrustPolicy":
        match words:
            case ["log", vkey]:
                return TrustPolicy((*self.logs, Verifier.decode(vkey)), self.witnesses, self.groups, self.quorum)
            case ["witness", name, vkey]:
                self._check_new(name)
                # A cosigner's key is of another type than a log's (0x04): it is kept only as far as its name reads.
                if len(vkey.split("+", 2)) != 3:
                    raise TrustPolicyError("a verifier key has the form name+keyid+base64")
                return TrustPolicy(self.logs, {**self.witnesses, name: vkey}, self.groups, self.quorum)
            case ["group", name, count, *members] if members:
                self._check_new(name)
                for member in members:
                    self._check_known(member)
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
