"""What every script in tools/ shares: a user's mistake is told in one line, not in a traceback."""

import os
import sys


def run_tool(main) -> int:
    """Call ``main()`` and turn a user error into a message on standard error.

    Parameters
    ----------
    main : callable
        Takes no argument and returns an exit status (``None`` counts as 0).

    Returns
    -------
    int
        What `main` returned; 2 after a ``ValueError`` or ``OSError`` (bad content, missing or unreadable files), 130 when
        interrupted from the keyboard. Any other exception is a defect of the toolkit and keeps its traceback.
    """
    # TensorFlow's start-up messages drown what the script says; its errors arrive as exceptions all the same.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        return main() or 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; files that were finished are kept", file=sys.stderr)
        return 130
