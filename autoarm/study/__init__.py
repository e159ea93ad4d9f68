"""Studies: hypotheses with thresholds fixed in advance, run stage by stage, with a verdict whichever it is."""
