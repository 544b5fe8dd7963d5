"""The command line and the screens of mftui. Never imports torch: workers do."""
