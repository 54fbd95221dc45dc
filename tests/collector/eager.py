"""A collector that tidies up after a few events: put before its command line by tests.

What else happens after tens of thousands of events, or much later, happens in a short test too.
"""

import sys

from usage_collector.__main__ import main
from usage_collector.ledger import index

index.MAX_RECENT = 200

# What follows is: python -m usage_collector COMMAND ...
sys.argv = ["usage-collector", *sys.argv[4:]]
main()
