"""Makes a plugin: a complete package that installs, passes its tests and runs, for its author to change."""
