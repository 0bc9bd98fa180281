"""When something runs: gather what a decision needs, have the rules plan, apply the plan in one place."""
