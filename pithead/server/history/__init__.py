"""The history of a site, as /v1/sites/{id} tells it: worked out in a process of its own, and kept."""

from pithead.server.history.historian import Answer, Historian
from pithead.server.history.order import Order, order_of
from pithead.server.history.words import SiteHistory

__all__ = ["Answer", "Historian", "Order", "SiteHistory", "order_of"]
