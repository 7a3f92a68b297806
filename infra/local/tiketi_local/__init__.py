"""The whole Tiketi world on one machine: stores, Kubernetes API, front door, operator and services."""
