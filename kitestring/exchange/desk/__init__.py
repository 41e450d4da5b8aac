"""The broker's desk: everything a Kite account can do and be told, in exchange time, without a socket."""
