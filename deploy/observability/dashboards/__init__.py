"""All dashboards of Grafana."""

from deploy.observability.dashboards.deployables import DEPLOYABLE_DASHBOARDS
from deploy.observability.dashboards.fanout import FANOUT
from deploy.observability.dashboards.feed import FEED
from deploy.observability.dashboards.gateway import GATEWAY
from deploy.observability.dashboards.interactions import INTERACTIONS
from deploy.observability.dashboards.kafka import KAFKA
from deploy.observability.dashboards.media import MEDIA
from deploy.observability.dashboards.overview import OVERVIEW
from deploy.observability.dashboards.stores import STORES

DASHBOARDS = (OVERVIEW, FEED, FANOUT, MEDIA, INTERACTIONS, STORES, KAFKA, GATEWAY, *DEPLOYABLE_DASHBOARDS)
