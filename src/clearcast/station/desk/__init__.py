"""Where pictures are handed in and inspected: taken, judged, kept, logged, answered."""

from clearcast.station.desk.desk import Desk
from clearcast.station.desk.words import DeskAway, DeskFull, State, Upload, told_to_all

__all__ = ["Desk", "DeskAway", "DeskFull", "State", "Upload", "told_to_all"]
