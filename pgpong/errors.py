"""The errors a user can meet. Each message is one line that says what to do next.

    PgpongError              exit status 1
    ├── SettingError         a setting, flag or name that cannot be          2
    ├── RunError             a run that exists, is missing or does not fit   1
    ├── FileFormatError      a file that is damaged, foreign or unfit        2
    ├── NonFiniteError       NaN or infinity during training                 3
    └── DiskError            the disk refuses to write                       4

Anything else that escapes is a bug in pgpong and keeps its traceback.
"""


class PgpongError(Exception):
    """The root: `except PgpongError` catches whatever the user can put right."""

    exit_status = 1


class SettingError(PgpongError):
    """A setting, flag or name that cannot be."""

    exit_status = 2


class RunError(PgpongError):
    """A run that already exists, is missing, or does not fit what is asked of it."""


class FileFormatError(PgpongError):
    """A file that is damaged, foreign, or made for something else."""

    exit_status = 2


class NonFiniteError(PgpongError):
    """A NaN or an infinity turned up in the numbers of the training."""

    exit_status = 3


class DiskError(PgpongError):
    """The operating system refused to write."""

    exit_status = 4
