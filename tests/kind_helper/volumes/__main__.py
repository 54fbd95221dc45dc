"""The process of the volume controller: `python -m tests.kind_helper.volumes STATE KUBECONFIG`."""

import logging
import sys
from pathlib import Path

from tests.kind_helper.volumes.controller import Controller


def main() -> None:
    """Serve the cluster of the state folder until killed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    state, kubeconfig = (Path(word) for word in sys.argv[1:3])
    Controller(state, kubeconfig).run()


if __name__ == "__main__":
    main()
