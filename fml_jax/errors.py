"""The one error that a user's input can raise."""


class InputError(ValueError):
    """Something given to the program cannot be used.

    The message is one line that names the file (or argument) and the remedy; launchers print it
    without a traceback, and batch jobs report it and go on with the next photo.
    """
