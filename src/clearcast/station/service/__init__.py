"""Inspection service: a job queue whose workers inspect uploads, store their images and log the results."""

from clearcast.station.service.queue import InspectionService
from clearcast.station.service.state import ImageUpload, QueueFull, ServiceStatus, ServiceUnavailable, public_message

__all__ = ["ImageUpload", "InspectionService", "QueueFull", "ServiceStatus", "ServiceUnavailable", "public_message"]
