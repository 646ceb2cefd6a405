"""`python -m sandbox --port N` serves the sandbox until it is interrupted."""

import argparse

from sandbox.app import create_app, server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--no-rate-limits", action="store_true", help="doubles never answer 429 by themselves")
    options = parser.parse_args()
    server(create_app(rate_limits=not options.no_rate_limits), options.host, options.port).run()


if __name__ == "__main__":
    main()
