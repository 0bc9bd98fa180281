"""The controller of PodLinks: each link is gathered with its route, decided by the rules, and written twice at most."""
