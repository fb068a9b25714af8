"""What the ledger says of the newest sealed window: exact numbers, and the two paths beside each other.

Numbers of few people are left out as the event file says, and so is one more where they would follow from the others.
"""

from typing import Final

from metrics.catalogue.carrying import PEOPLE_CHANNELS
from metrics.catalogue.vocabulary import SESSION, Kind, Label, Metric, Open, Process, metrics_in

_LEDGER: Final = (Process.LEDGER,)
_CHANNEL: Final = Label("channel", PEOPLE_CHANNELS)

WINDOW_ATTENDEES: Final = Metric(
    "turnout_window_attendees_exact",
    Kind.GAUGE,
    "Attendees of the session in the newest sealed window, exact: present online, as its leaf publishes them; on site, "
    "who was in the room as far as scans tell (sessions with gates); either, each once. Absent where too few.",
    _LEDGER,
    (SESSION, _CHANNEL),
)
WINDOW_EVENT_ATTENDEES: Final = Metric(
    "turnout_window_event_attendees_exact",
    Kind.GAUGE,
    "The same exact numbers for the whole event, each attendee once.",
    _LEDGER,
    (_CHANNEL,),
)
WINDOW_COUNTRY_ATTENDEES: Final = Metric(
    "turnout_window_country_attendees_exact",
    Kind.GAUGE,
    "Attendees of the event in the newest sealed window, on either channel, by the country of their ticket; `other` "
    "where it names none that ISO 3166-1 knows. Absent where nobody, or too few, or where too few would follow.",
    _LEDGER,
    (Label("country", more=Open.COUNTRIES),),
)
WINDOW_DIFFERENCE: Final = Metric(
    "turnout_window_path_difference_standard_errors",
    Kind.GAUGE,
    "Estimate by the session's sketches minus exact count of the same window, aliases applied, in standard errors (of "
    "0.8125 %, at least one person). More than 5 to either side in 3 windows running is an alarm. Absent where both "
    "saw nobody.",
    _LEDGER,
    (SESSION,),
)
WINDOW_EVENT_DIFFERENCE: Final = Metric(
    "turnout_window_event_path_difference_standard_errors",
    Kind.GAUGE,
    "The same difference for the whole event, by the union of its sessions' sketches.",
    _LEDGER,
)
WINDOWS_COMPARED: Final = Metric(
    "turnout_window_paths_compared_total",
    Kind.COUNTER,
    "Windows whose two paths were compared since the ledger started; of several that are sealed at once, the newest.",
    _LEDGER,
)

METRICS: Final = metrics_in(vars())
