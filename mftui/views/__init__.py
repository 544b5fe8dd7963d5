"""The explorer's widgets, one a file, named after its pane. They show plain data and never read a run themselves."""
