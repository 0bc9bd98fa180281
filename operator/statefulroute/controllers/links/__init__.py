"""PodLinks: each is gathered with its route, decided on by the rules, and written at most twice."""
