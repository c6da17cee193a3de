"""Inspection service: a job queue whose workers inspect uploads, store their images and log the results."""

from clearcast.station.desk.desk import Desk
from clearcast.station.desk.words import DeskAway, DeskFull, State, Upload, told_to_all

__all__ = ["Desk", "DeskAway", "DeskFull", "State", "Upload", "told_to_all"]
