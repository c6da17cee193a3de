"""REST API of the inspection station: routes, authentication, limits, error responses, metrics, documentation."""

from clearcast.station.api.app import create_app
from clearcast.station.api.settings import RetentionLimits, Station, UploadLimits
from clearcast.station.api.tokens import Role, StationTokens

__all__ = ["RetentionLimits", "Role", "Station", "StationTokens", "UploadLimits", "create_app"]
