"""Everything bgmv2 raises on purpose.

The tree::

    Bgmv2Error
    ├── WeightsError(ValueError)      a weights file is missing, damaged or made for another network
    ├── VideoError(ValueError)        a clip, picture or folder cannot be read, or is not what was asked for
    ├── OutputError(OSError)          a result cannot be written where it was asked for
    │   ├── OutputExistsError         ... because something is there already
    │   └── DamagedRunError           ... because what an unfinished run left is damaged
    ├── PlateError(ValueError)        the plate does not belong to this clip
    ├── BackdropError(ValueError)     the new background is neither a colour, a picture nor a video
    └── DeviceError(RuntimeError)     the compute device that was asked for is not there

Every message is one line for a person: what is wrong, and what to do about it. What is worth a word but stops nothing
is a `Bgmv2Warning`.
"""


class Bgmv2Error(Exception):
    """Base of all errors that bgmv2 raises on purpose."""


class WeightsError(Bgmv2Error, ValueError):
    """A weights file is missing, damaged or made for another network."""


class VideoError(Bgmv2Error, ValueError):
    """A clip, picture or folder cannot be read, or is not what was asked for."""


class OutputError(Bgmv2Error, OSError):
    """A result cannot be written where it was asked for."""


class OutputExistsError(OutputError):
    """A result would replace a file that is there already."""


class DamagedRunError(OutputError):
    """What an unfinished run left is damaged, so nothing can go on behind it."""


class PlateError(Bgmv2Error, ValueError):
    """The plate does not belong to this clip."""


class BackdropError(Bgmv2Error, ValueError):
    """The new background is neither a colour, a picture nor a video."""


class DeviceError(Bgmv2Error, RuntimeError):
    """The compute device that was asked for is not there."""


class Bgmv2Warning(UserWarning):
    """The result can be made, but may not be what was meant."""


def one_line(text: object) -> str:
    """Bring what somebody else's code says into the one line that a person is told; empty if it says nothing."""
    return " ".join(str(text).split())
