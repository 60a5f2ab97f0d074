"""What goes wrong with media files."""


class MediaError(ValueError):
    """A media file cannot be read or written; the message names the file and the remedy."""


class MediaWarning(UserWarning):
    """A media file is damaged or odd, and what could be read of it is given."""
