"""What a certificate repeats from the log, word for word: event, rules, settings, identity, gaps that leaves show."""

from typing import Final

from counters.certificate import MEMBERS
from counters.certificate_statements import interim, stated_by_log
from counters.checks.verification import FailedError, Verification, same
from counters.corrections import own_correction
from counters.software import SOFTWARE

PARTLY_FROM_LOG: Final = ("event", "gaps")
"""Members of a certificate of which the log tells a part (`stated_by_log`)."""
SAYS_INTERIM: Final = 3
"""The version since which a certificate says itself that its event goes on."""


def public_statements(state: Verification) -> str:
    """Each of these members is what the log gives, and there is no member that a certificate does not have."""
    log, document = state.the_log(), state.the_document()
    stated = stated_by_log(log, document["version"], own_correction(document))
    for name, value in stated.items():
        said = document.get(name)
        if name in PARTLY_FROM_LOG and isinstance(said, dict):
            said = {key: said[key] for key in value if key in said}
        if not same(said, value):
            made_by = (
                "" if document["software"] == SOFTWARE else f" (made by {document['software']}, read by {SOFTWARE})"
            )
            raise FailedError(f"the certificate's {name!r} is not what the log gives{made_by}")
    members = MEMBERS[document["version"]]
    if set(document) != members:
        raise FailedError(f"a certificate has no members {sorted(set(document) - members)}, or one is missing")
    said = f"{len(stated)} members say what the log says: event, rules, settings, identity, gaps that leaves show"
    if document["version"] < SAYS_INTERIM and (unsaid := interim(log, SAYS_INTERIM)):
        # An operator can issue an old form whenever one suits: what it leaves out is said here.
        said += f". What a certificate of version {document['version']} does not say: {unsaid[0]}"
    return said
