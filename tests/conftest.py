"""What holds for all tests."""

from __future__ import annotations

import signal

# A shell that starts the tests in the background makes them ignore SIGINT, and their children with them; the tests of
# Ctrl-C need it. A handler is reset to the default when a child starts, an ignored signal is not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
