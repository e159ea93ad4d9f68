"""The report on one policy: `report` writes the page, the other modules make its sections."""
