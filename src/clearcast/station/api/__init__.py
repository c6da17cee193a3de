"""REST API of the inspection station: routes, authentication, limits, error responses, metrics, documentation."""

from clearcast.station.api.app import create_app
from clearcast.station.api.station import Limits, Retention, Station
from clearcast.station.api.tokens import Role, Tokens

__all__ = ["Limits", "Retention", "Role", "Station", "Tokens", "create_app"]
