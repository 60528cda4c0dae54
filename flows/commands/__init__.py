"""The commands of `fleetcast`, a file a topic: arguments and exit codes; the work is in what they call."""
