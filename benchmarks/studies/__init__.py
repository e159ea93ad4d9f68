"""Studies: hypotheses, metrics and thresholds fixed in advance, as YAML. Read them through `autoarm.study.plan`."""
