"""The exchange asks for no password, so it listens to this machine and to nobody else."""

import pytest

from kitestring.domain.errors import ConfigError
from kitestring.exchange.wire.serving import Served


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.7", "example.com"])
def test_no_other_host_is_served(host):
    with pytest.raises(ConfigError, match="this machine only"):
        Served(None, host=host)
