"""The deciding centre: events in, commands out, no clock, no disk, no network, no chance."""
