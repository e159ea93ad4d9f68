"""The demonstration: record, measure, and one page that shows it."""
