"""Background matting of video: alpha and foreground of whatever is not on the plate."""

__version__ = "0.1.0"
