"""The error for unusable input, and file names as text that can be printed."""


class InputError(ValueError):
    """Something given to the program cannot be used.

    The message is one line that names the file (or argument) and the remedy; launchers print it
    without a traceback, and batch jobs report it and go on with the next photo.
    """

    def __init__(self, message: object) -> None:
        super().__init__(printable(message))


def printable(name: object) -> str:
    """A path or message as text that can be printed and written to any file.

    Names of files are bytes; those that are not UTF-8 reach Python as lone surrogates, which cannot be encoded.
    They become escapes such as `\\udcff`, so that different names stay different.
    """
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")
