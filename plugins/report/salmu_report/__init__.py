"""Pages and pictures of a results folder, and how pages are made: ``salmu report`` and ``salmu plot``."""
