"""What the user sees: the only package that prints.

Results go to standard output; progress, warnings and errors to standard error, so that `damrs-dgl ... > table.txt`
holds results alone. On a terminal there are colours and bars (``NO_COLOR`` is respected); piped there is plain text in
full width. rich is imported at the first line printed, not with this module: `damrs-dgl --help` needs none of it.

Results that cannot be written are an error, as is a full disk; what cannot be said on standard error is dropped.
"""

from damrs_dgl.console.output import Console, console
from damrs_dgl.console.paste import FORMATS, Marked
from damrs_dgl.console.progress import ProgressBar
from damrs_dgl.console.streams import open_standard_streams

__all__ = ["FORMATS", "Console", "Marked", "ProgressBar", "console", "open_standard_streams"]
