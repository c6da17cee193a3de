"""The station's REST API, with what guards it: routes, tokens, limits, problems, metrics, documentation."""

from clearcast.station.api.app import create_app
from clearcast.station.api.station import Limits, Retention, Station
from clearcast.station.api.tokens import Role, Tokens

__all__ = ["Limits", "Retention", "Role", "Station", "Tokens", "create_app"]
