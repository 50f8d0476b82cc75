"""What all families share: the decision graph, the environment faces, policies, schedules and pictures."""
