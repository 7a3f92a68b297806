"""The line: joining, serving, claiming; and the proof of admission that orders ask for."""
