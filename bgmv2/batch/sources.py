"""Which clips are meant, and which plate belongs to each."""

from __future__ import annotations

import csv
import functools
import glob
import json
import os
import re
import shlex
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from bgmv2.batch.job import Settings, is_path
from bgmv2.errors import Bgmv2Warning, PlateError, VideoError
from bgmv2.plate.words import PlateSource
from bgmv2.video import formats
from bgmv2.video.images import list_images
from bgmv2.video.open import is_sequence
from bgmv2.video.probe import STDIN, is_address
from bgmv2.video.sequence import Pattern, is_pattern

# In a folder, what a file is called must do; what is called otherwise can still be named itself.
VIDEO_SUFFIXES = (
    *formats.CONTAINERS,
    *(".m4v", ".avi", ".mts", ".m2ts", ".ts", ".mpg", ".mpeg", ".mxf", ".wmv", ".flv", ".3gp", ".ogv", ".dv", ".y4m"),
)
MANIFESTS = (".csv", ".jsonl")
COLUMNS = ("clip", "plate", "backdrop", "flags")
NAMED = 10  # that many things of a kind are named, the rest is counted
_PLATES = "plates"
_PLATE = "plate"
_NUMBER = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


@dataclass(frozen=True)
class Found:
    """A clip that was found.

    Args:
        clip: absolute path, or pattern of numbered pictures.
        name: the folders that are kept, and the stem of its results.
        root: the folder above which no plate is looked for.
        plate: if a manifest names it; the path of a picture is absolute.
        settings: if a manifest has its own for this clip.
        line: where a manifest names it, such as ``shots.csv, line 3``.
    """

    clip: Path
    name: PurePath
    root: Path
    plate: PlateSource | None = None
    settings: Settings | None = None
    line: str = ""


def find_clips(
    sources: Iterable[str | os.PathLike[str]],
    *,
    settings: Settings,
    parse: Callable[[Sequence[str]], Settings] | None = None,
    out: Path | None = None,
    results: Collection[Path] = (),
) -> list[Found]:
    """Find the clips that are meant, each once.

    Args:
        sources: clips; folders, which are searched with all that is in them for files with a suffix of
            `VIDEO_SUFFIXES` and for numbered pictures, hidden ones passed over; globs such as ``shots/*/take?.mp4``;
            and manifests, .csv with a header or .jsonl, with the `COLUMNS` clip, plate, backdrop and flags.
        settings: for the clips of which a manifest says nothing else.
        parse: reads the flags of a manifest; raises ValueError if they are wrong. None if there may be none.
        out: a folder that is not searched, because the results go there.
        results: resolved paths of earlier results, which are no clips either.

    Returns:
        The clips in the order of the sources; what a manifest says of a clip is preferred.

    Raises:
        VideoError: a source is missing or holds no clip, or a manifest is wrong; the message names file and line.
    """
    given = [os.fspath(source) for source in sources]
    if not given:
        raise VideoError("name at least one clip, folder, glob or manifest")
    search = _Search(settings, parse, out)
    found = [clip for source in given for clip in search.of_source(source)]
    listed = {os.path.realpath(clip.clip) for clip in found if clip.line}
    seen: set[str] = set()
    chosen = []
    for clip in found:
        real = os.path.realpath(clip.clip)
        if not clip.line and (Path(real) in results or real in listed or real in seen):
            continue
        seen.add(real)
        chosen.append(clip)
    return chosen


def find_plates(clips: Sequence[Found], *, fallback: str | os.PathLike[str] | None = None) -> list[PlateSource]:
    """Find the plate of each clip.

    In this order: what a manifest names; ``clip.plate.png`` beside ``clip.mp4``; ``plates/clip.png`` beside it or in a
    folder above, up to the source; ``plate.png`` in the clip's folder; what serves all. Any picture's suffix will do.

    Args:
        clips: as `find_clips` returns them.
        fallback: what serves all clips that have none of their own, as `PlateSource.parse` takes it.

    Returns:
        As many; the paths of pictures are absolute.

    Raises:
        ValueError: the fallback begins like a word and goes on otherwise.
        PlateError: clips have none, or one has two. The message has a line for each of the first `NAMED`.
    """
    other = None if fallback is None else _anchored_plate(fallback, Path.cwd())
    if other is not None and other.path is not None and not other.path.is_file():
        raise PlateError(f"there is no picture {fallback}; check the name")
    pictures = functools.cache(_pictures)
    plates: list[PlateSource] = []
    wrong: list[str] = []
    stem = ""  # of the first that has none
    for clip in clips:
        plate, why = clip.plate, f"{clip.clip} has no plate"
        if plate is None:
            candidates = next(filter(None, _plates_of(clip, pictures)), [])
            if len(candidates) > 1:
                why = f"{clip.clip} has two plates, {candidates[0]} and {candidates[1].name}: remove one"
            else:
                plate = PlateSource("picture", path=candidates[0]) if candidates else other
        elif plate.path is not None and not plate.path.is_file():
            why, plate = f"{clip.line}: there is no picture {plate}; check the name", None
        if plate is None:
            stem = stem or clip.name.name
            wrong.append(why)
        else:
            plates.append(plate)
    if wrong:
        advice = f"put {stem}.plate.png beside it, or {stem}.png into plates/, or give --plate auto"
        raise PlateError("\n".join([*several(wrong, "clips without plate"), advice]))
    return plates


def several(lines: Sequence[str], what: str) -> list[str]:
    """The first lines of many, and how many more there are."""
    more = len(lines) - NAMED
    return [*lines[:NAMED], *([f"and {more} more {what}"] if more > 0 else [])]


def is_plate(path: Path) -> bool:
    """Tell by its name that a picture is a plate: ``plate.png``, ``clip.plate.png``, ``plates/clip.png``."""
    stem = path.stem.lower()
    return path.parent.name.lower() == _PLATES or stem == _PLATE or stem.endswith(f".{_PLATE}")


class _Search:
    """Looks for clips.

    Args:
        settings: as of `find_clips`, as are the others.
        parse: as said.
        out: as said.
    """

    def __init__(self, settings: Settings, parse: Callable[[Sequence[str]], Settings] | None, out: Path | None) -> None:
        self._settings, self._parse = settings, parse
        self._out = None if out is None else os.path.realpath(out)
        self._pictures = functools.cache(_pictures)

    def of_source(self, source: str) -> Iterator[Found]:
        """Yield the clips of one source."""
        _check_twice_readable(source)
        path = Path(os.path.abspath(source))
        if path.suffix.lower() in MANIFESTS and path.is_file():
            yield from self._of_manifest(path)
        elif path.is_dir():
            found = list(self._of_folder(path, path))
            if not found:
                raise VideoError(f"there is no clip in {source}; a clip there ends in {', '.join(VIDEO_SUFFIXES)}")
            yield from found
        elif path.exists():
            if path not in self._pictures(path.parent):
                yield Found(path, PurePath(path.stem), path.parent)
            elif not is_plate(path):
                raise VideoError(
                    f"{source} is a picture, not a clip; give numbered pictures as their folder or a pattern"
                )
        elif is_pattern(path):
            yield Found(path, PurePath(_stem(path)), path.parent.parent)
        elif glob.has_magic(source):
            yield from self._of_glob(source)
        else:
            raise VideoError(f"there is no clip {source}; check the name and the folder")

    def _of_glob(self, source: str) -> Iterator[Found]:
        parts = Path(source).parts
        fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
        root = Path(os.path.abspath(Path(*parts[:fixed])))
        found: list[Found] = []
        for match in sorted(glob.glob(str(Path(*parts[fixed:])), root_dir=root, recursive=True)):
            path = Path(os.path.abspath(root / match))
            if path.is_dir():
                found.extend(self._of_folder(path, root))
            elif path.suffix.lower() in VIDEO_SUFFIXES:
                found.append(Found(path, path.relative_to(root).with_suffix(""), root))
        if not found:
            raise VideoError(f"no clip is called {source}; a clip ends in {', '.join(VIDEO_SUFFIXES)}")
        yield from found

    def _of_folder(self, top: Path, root: Path) -> Iterator[Found]:
        """Walk through a folder; links are followed, but no folder is seen twice."""
        seen = {self._out} - {os.path.realpath(top)}
        for name, folders, files in os.walk(top, followlinks=True):
            real = os.path.realpath(name)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(folder for folder in folders if folder[0] != "." and folder.lower() != _PLATES)
            folder = Path(name)
            clips = sorted(file for file in files if file[0] != "." and Path(file).suffix.lower() in VIDEO_SUFFIXES)
            for clip in clips:
                yield Found(folder / clip, (folder / clip).relative_to(root).with_suffix(""), root)
            # Beside clips, numbered pictures are backdrops and stills.
            numbered = None if clips else self._numbered(folder)
            if numbered is not None and folder == root:
                yield Found(numbered, PurePath(root.name), root.parent)
            elif numbered is not None:
                yield Found(numbered, folder.relative_to(root), root)

    def _numbered(self, folder: Path) -> Path | None:
        """The numbered pictures of a folder, if that is what it holds: the folder, or a pattern if a plate is there."""
        pictures = self._pictures(folder)
        shots = [picture for picture in pictures if not is_plate(picture)]
        match = _NUMBER.fullmatch(shots[0].stem) if len(shots) > 1 else None
        if match is None:
            return None
        pattern = folder / f"{match[1]}{'#' * len(match[2])}{match[3]}{shots[0].suffix}"
        if is_pattern(match[1]) or is_pattern(match[3]) or {*Pattern.of(pattern).found().values()} != {*shots}:
            warnings.warn(
                f"{folder} is passed over: it holds pictures of several kinds; give those of a clip as a pattern such "
                f"as {folder / 'shot.####.png'}",
                Bgmv2Warning,
                stacklevel=2,
            )
            return None
        return folder if len(shots) == len(pictures) else pattern

    def _of_manifest(self, manifest: Path) -> Iterator[Found]:
        try:
            # Spreadsheets put a mark before the first letter.
            text = manifest.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise VideoError(f"{manifest} is not in UTF-8; save it so") from None
        except OSError as error:
            raise VideoError(f"{manifest} cannot be read: {error.strerror}; check its permissions") from error
        rows = _csv_rows(text, manifest) if manifest.suffix.lower() == ".csv" else _json_rows(text, manifest)
        empty = True
        for line, row in rows:
            empty = False
            try:
                yield self._of_row(row, manifest.parent, line)
            except ValueError as error:  # what ours say of clips is, too
                raise VideoError(f"{line}: {error}") from error
        if empty:
            raise VideoError(f"{manifest} names no clip; give a line to each")

    def _of_row(self, row: dict[str, object], folder: Path, line: str) -> Found:
        """Read one line of a manifest.

        Raises:
            ValueError: says what is wrong with it.
        """
        clip, plate, backdrop = (_text(row, name) for name in ("clip", "plate", "backdrop"))
        if not clip:
            raise ValueError("it names no clip")
        _check_twice_readable(clip)
        path = Path(_joined(folder, clip))
        if not path.exists() and not is_pattern(path):
            raise ValueError(f"there is no clip {path}; check the name")
        settings = self._settings
        words = _words(row.get("flags") or "")
        if words:
            if self._parse is None:
                raise ValueError("flags are words of the command line, which nothing here reads: give it as `parse`")
            settings = anchored(self._parse(words), folder)
        if backdrop:
            settings = replace(settings, backdrop=_joined(folder, backdrop) if is_path(backdrop) else backdrop)
        inside = folder in path.parents
        return Found(
            clip=path,
            name=(path.relative_to(folder) if inside else PurePath(path.name)).with_name(_stem(path)),
            root=folder if inside else path.parent,
            plate=_anchored_plate(plate, folder) if plate else None,
            settings=settings,
            line=line,
        )


def _check_twice_readable(clip: str) -> None:
    if clip == STDIN or is_address(clip):
        raise VideoError(f"{clip} may be gone when a batch is gone on with: save it, or take bgmv2 convert")


def _csv_rows(text: str, manifest: Path) -> Iterator[tuple[str, dict[str, object]]]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            line = f"{manifest}, line {reader.line_num}"
            cells = [cell.strip() for cell in cells]
            if not any(cells):
                continue
            if header is None:
                header = [cell.lower() for cell in cells]
                _check_columns(header, line, hint="; columns are parted by commas" if ";" in cells[0] else "")
            elif len(cells) != len(header):
                raise VideoError(f"{line}: the header has {len(header)} columns, but this line {len(cells)}")
            else:
                yield line, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise VideoError(f"{manifest}, line {reader.line_num}: {error}; put texts with commas in quotes") from error


def _json_rows(text: str, manifest: Path) -> Iterator[tuple[str, dict[str, object]]]:
    # `splitlines` would part at separators that JSON allows in texts.
    for number, content in enumerate(text.split("\n"), start=1):
        line = f"{manifest}, line {number}"
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise VideoError(f"{line} is not JSON: {getattr(error, 'msg', 'it is nested too deep')}") from None
        if not isinstance(row, dict):
            raise VideoError(f'{line} is no object; write {{"clip": "a.mp4", "plate": "a.png"}}')
        _check_columns(list(row), line)
        yield line, {name: value for name, value in row.items() if value is not None}


def _check_columns(names: Sequence[str], line: str, *, hint: str = "") -> None:
    for index, name in enumerate(names):
        if name not in COLUMNS:
            raise VideoError(f"{line}: there is no column {name!r}; there are {', '.join(COLUMNS)}{hint}")
        if name in names[:index]:
            raise VideoError(f"{line}: the column {name!r} is there twice")
    if "clip" not in names:
        raise VideoError(f"{line}: the column 'clip' is missing; there are {', '.join(COLUMNS)}")


def _text(row: dict[str, object], name: str) -> str:
    text = row.get(name) or ""
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(f"{name} is a path, got {text!r}")
    return text


def _words(flags: object) -> list[str]:
    if isinstance(flags, list) and all(isinstance(word, str) for word in flags):
        return flags
    if not isinstance(flags, str):
        raise ValueError(f"flags are a text or a list of texts, got {flags!r}")
    try:
        return shlex.split(flags)
    except ValueError:
        raise ValueError(f"flags lack a closing quote: {flags}") from None


def anchored(settings: Settings, folder: Path) -> Settings:
    """Let the relative paths among the settings count from a folder."""
    composite, run = settings.composite, settings.run
    return replace(
        settings,
        backdrop=_joined(folder, settings.backdrop) if is_path(settings.backdrop) else settings.backdrop,
        composite=replace(
            composite,
            garbage=composite.garbage and _joined(folder, composite.garbage),
            holdout=composite.holdout and _joined(folder, composite.holdout),
        ),
        run=replace(run, weights=run.weights and _joined(folder, run.weights)),
    )


def _anchored_plate(plate: str | os.PathLike[str], folder: Path) -> PlateSource:
    source = PlateSource.parse(plate)
    return source if source.path is None else replace(source, path=Path(_joined(folder, os.fspath(source.path))))


def _joined(folder: Path, path: str) -> str:
    return os.path.abspath(folder / path)


def _stem(clip: Path) -> str:
    """What results of a clip are called after: its name without suffix, and without the number of pictures."""
    if clip.is_dir():
        return clip.name
    if not is_sequence(clip):
        return clip.stem
    return Pattern.of(clip).before.rstrip("._- ") or clip.parent.name


def _pictures(folder: Path) -> list[Path]:
    try:
        return list_images(folder)
    except (VideoError, OSError):
        return []


def _plates_of(clip: Found, pictures: Callable[[Path], list[Path]]) -> Iterator[list[Path]]:
    """Yield what may be the plate, the best places first."""
    path = clip.clip
    is_many = is_sequence(path)
    # Numbered pictures lie in a folder of their own: what belongs to them is in it or beside it.
    within = [path if path.is_dir() else path.parent] if is_many else []
    beside = path.parent if not is_many or path.is_dir() else path.parent.parent
    stems = {clip.name.name, _stem(path)}
    homes = [*within, beside]
    for home in homes:
        yield [picture for picture in pictures(home) if picture.stem in {f"{stem}.{_PLATE}" for stem in stems}]
    for home in (*homes, *beside.parents):
        if home != clip.root and clip.root not in home.parents:
            break
        yield [picture for picture in pictures(home / _PLATES) if picture.stem in stems]
    for home in homes:
        yield [picture for picture in pictures(home) if picture.stem.lower() == _PLATE]
