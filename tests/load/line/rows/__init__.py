"""One module for each measurement: ``ROWS``, and ``measure``. See ``tests.load.row``."""
