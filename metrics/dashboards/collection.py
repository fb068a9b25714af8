"""All dashboards that there are, in the order in which they are shown."""

from typing import Final

from metrics.dashboards.counting import COUNTING_DASHBOARD
from metrics.dashboards.event import EVENT_DASHBOARD
from metrics.dashboards.gateway import GATEWAY_DASHBOARD
from metrics.dashboards.ledger import LEDGER_DASHBOARD

DASHBOARDS: Final = (EVENT_DASHBOARD, GATEWAY_DASHBOARD, COUNTING_DASHBOARD, LEDGER_DASHBOARD)
