"""Reports: results as one HTML page that needs nothing else but the videos beside it."""
