"""The weights that come with bgmv2."""
