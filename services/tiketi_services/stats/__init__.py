"""Figures of every sale, from messages and from the line: for the event's status, for people, for Prometheus."""
