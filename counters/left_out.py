"""How many views a log's leaves have left out, told to everybody without telling few.

A leaf's `views` are without those of excluded categories, and what is left out may be another's after all: a seat can
be the second one of somebody who counts. So that a certificate cannot claim any number of such views, a leaf says how
many have been left out so far: by session, in the windows of the log up to its own, rounded up to a multiple of
`suppress_below`, 0 … `suppress_below` being one step. With a threshold of 10:

    left out so far   0 … 10   11 … 20   21 … 30
    at most           10       20        30

Of a session whose step is the first nothing is said. Where nothing is withheld (a threshold of 1) steps are of 1, and
of nothing left out nothing is said.

Why sums, and not the views of each minute: each minute of 1 … 9 would have to be hidden, and over a long event the
hidden ones would allow a multiple of what was left out. A sum is off by one step at most, however long the event is.

Why nobody learns of few from them: what was left out in a minute is the difference of two sums, and of a sum everybody
knows only its step, of which every value is as possible as any other. Even the exact total, which a certificate prints
as `exclusions.views_excluded`, leaves between 1 and `suppress_below` − 1 no single value that a minute must have had
(tests/counters/test_left_out.py goes through all histories of a small event). That the first step begins at 0 and
includes the threshold itself is for the extremes: were it 0 … 9, a total of 18 in two sessions would give away two 9s.
"""

from collections.abc import Mapping

from counters.event import Event


def at_most(views: int, below: int) -> int:
    """Return what a leaf says of so many views left out; `below` is the event's `suppress_below`."""
    return max(-(-views // below) * below, first_step(below))


def first_step(below: int) -> int:
    """Return what holds of a session of which a leaf says nothing."""
    return below if below > 1 else 0


def at_least(said: int, below: int) -> int:
    """Return how many views were left out at least where a leaf says `at_most`."""
    return 0 if said <= first_step(below) else said - below + 1


def told(event: Event, views: Mapping[int, int]) -> dict[str, int]:
    """Return what a leaf says, by session id, of the views left out so far, which are given by session number."""
    below = event.counting.suppress_below
    said = {session.id: at_most(views.get(session.number, 0), below) for session in event.sessions}
    return {session: most for session, most in said.items() if most > first_step(below)}


def read(event: Event, said: object) -> dict[str, int]:
    """Return by session id what a leaf says, of every session of the event.

    Raises:
        ValueError: no leaf says it so.
    """
    below = event.counting.suppress_below
    found = {session.id: first_step(below) for session in event.sessions}
    if not isinstance(said, dict) or not said.keys() <= found.keys():
        raise ValueError("it leaves out views of a session that there is not")
    if not all(type(most) is int and most > first_step(below) and most % below == 0 for most in said.values()):
        raise ValueError("what it leaves out is not told in steps")
    return found | said
