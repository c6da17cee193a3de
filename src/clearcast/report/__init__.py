"""Report: charts, terminal tables and the one-file HTML page of a study."""
