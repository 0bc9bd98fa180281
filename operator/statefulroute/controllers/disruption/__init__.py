"""Carries out planned disruptions: closes pods, and removes them when they are empty or their deadline is over."""
