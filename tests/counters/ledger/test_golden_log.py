"""The log against one that an independent implementation wrote (transparency-dev/tessera's test data).

Where the shared vectors are not beside the repository, the facts stated here stand in for them: the root and the
signature of every size, and one digest over every tile and bundle.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from counters.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from counters.ledger.log import Log, LogReader
from counters.ledger.merkle import leaf_hash, tree_root
from counters.ledger.note import Signer, Verifier, decode_base64

VECTORS: Final = Path(__file__).resolve().parents[4] / "shared" / "vectors" / "tlog-golden"
VERIFIER: Final = Verifier.decode("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
SIGNER: Final = Signer.decode(
    "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
)
ENTRIES: Final = tuple(
    b"one two three four five six seven eit nain ten ileven twelf threeten fourten fivten".split(b" ")
)
TILES_DIGEST: Final = "fd9f2102a9bf867a2f4034caaf3f305a2f953043d1d5b1cb5f57b429d33c04f6"
"""SHA-256 over "<path> <SHA-256 of the file>" lines of every file under tile/, sorted."""
ROOTS_AND_SIGNATURES: Final = (
    (
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "M9e0lhxJACzE1KoUdqKuPa+9p6R7dSW8BlEvrg/noo8FkGg6PbJoRNOcdjqjOq89wVvTA60eubCc4oufo5BvIVEgtQc=",
    ),
    (
        "0Nc2CrefWKseHj/mStd+LqC8B+NrX0btIiPt2SmN+ek=",
        "M9e0lhr9kuLxGdAtaUrhm84TQffVsLdcy808sN0a3WyniNlfcr9+bywoiIke1YYciCNjJGkCgIlQ8b16jhsmg/SChAM=",
    ),
    (
        "T1X2GdkhUjV3iyufF9b0kVsWFxIU0VI4EpNml2Teci4=",
        "M9e0llH4NKmlf0u7C8tkJioQOmi7l5ELqljXgKRg6R3G5JJ7vx7emDWo5fpqKuA/Dk/jRrI6il+7QCVirNhyUAWGoAk=",
    ),
    (
        "Wqx3HImawpLnS/Gv4ubjAvi1WIOy0b8Ze0amvqbavKk=",
        "M9e0lvAQRtH832pk2RTbeSeZMkp4FZSdJYFBUjO5SKxuRbywPUF3cx+HUrb50kjd3rUWW/fj53Wj1dwcwh9bGQnqVAg=",
    ),
    (
        "zY1lN35vrXYAPixXSd59LsU29xUJtuW4o2dNNg5Y2Co=",
        "M9e0lnFuWt0cp60moO4jAkeXvMNLIIOGn4WdyeHQurBt9mBi0tWdfkldiAt9k0FpwuZymvttsVn9uwyouXU3vPpeNAc=",
    ),
    (
        "gy5gl3aksFyiCO95a/1vLXz88A3dRq+0l9Sxte8ZqZQ=",
        "M9e0lmn5eDHyHP10zJObZdFAX2y1V8fdDKBi4IiHbDYf1TCUBwxZOhqwv2QZCqrdda2zTRTrmnwjwscN5RBTEmZUYAs=",
    ),
    (
        "a6sWvsc2eEzmj72vah7mZ5dwFltivehh2b11qwlp5Jg=",
        "M9e0ln+nHSdGSHEZBcjvqyYDXDbG8WxDwCDjbbGAMv/NTynAtJWhckSXIpuwpN3yJ4PTtzUbD34YGqIZr6RgJRn16gU=",
    ),
    (
        "IrSXADBqJ7EQoUODSDKROySgNveeL6CFhik2w/+fS7U=",
        "M9e0luA5JhTRUki/BBQD0QNiH6AEJ2pdtsA5CQjqJErViuuKrN6513RCTL2640wXJv0dCed3neRGI6dMzBq9uANf2Qc=",
    ),
    (
        "bC+VwvrJbalNVjfkdI8kUgs7mJoXrqiXCE7bgnD28pY=",
        "M9e0lq1EK37dHtgv9O3UzPxisw5vwIPcJsX9ab0xt4mvVfbdUR1fbMjN6sBFYpBoBEmD4+cWhj/AVgI5MitCO5+mews=",
    ),
    (
        "CvhHViE3S9E3htHLR+25mapWoGCJ3WckMq1UtC3VmEY=",
        "M9e0ls3mdnWX0qk4P3uGG0eYiFRWSwPR+RdeD1ARmrHPHjXP0x9UJWASPFTOTqJo0mp7Epck2O9RFB0J9IjDdAewagw=",
    ),
    (
        "y8/gZsZCtitsMan09tY+k8I7Qpr7Y5fbO2tLi9GQnfU=",
        "M9e0lrmwaVEOWFZ+HS5ITnRd2YMOSWE5QeoYu+6DHwJLnJ+SVeJ2ZiYeD7lVC5oGJx76gbfLSyCUEq6D8JkarrsuiQQ=",
    ),
    (
        "Yok1cS5VdokGLBy73BC2I16b3atss6KBN9jnIi6Fz/A=",
        "M9e0lqbRtWirJwbUy4w3VrK2RyzfW8P+OIkc8t6b6AVG/tQd1Q2SN+uCLYzNNFnf/PhzeCdURSGQe1MRnohCxPu21wg=",
    ),
    (
        "uZo6M+IhVna+CLgWCrJs0xBPUHbozHkYTQASduHSLME=",
        "M9e0lrFzoTgi+ovhrqX0DpsEAp3wLu1coMLIkeCwSkGfS4Ox4pLXo2LHudqm4merh0ZkCNzHr8kQwq5gS5mmimIvdA4=",
    ),
    (
        "av0kLH0VkkVDrTuZzBGIx7d9z5G1l/GlKz/nAV/8woQ=",
        "M9e0liO8x8xfEOGmZVYODUjQajkEpjccPQ9EkG3yEEDet4K3BWE/DFRPH6H+b6gFFFaG5KS1bBmYS/xeZJs8lj+z+wM=",
    ),
    (
        "SvCd38yNade7xEPY1a/aAc1M3A2AHYVF8lIiUnsH1ao=",
        "M9e0lu8roIpjC+NXEG7JDkajIahoYDYWgxDtxfx/6rzLoztU9t/PvivZ48xt8ygJpjzaboSpkbVv3Jb+D3NdXWQf5wo=",
    ),
    (
        "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=",
        "M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=",
    ),
)
"""Of sizes 0 to 15, as base64."""


def golden_note(size: int) -> bytes:
    root, signature = ROOTS_AND_SIGNATURES[size]
    return f"{VERIFIER.name}\n{size}\n{root}\n\n— {VERIFIER.name} {signature}\n".encode()


def files_under(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_the_signer_key_of_the_golden_log_belongs_to_its_verifier_key() -> None:
    assert SIGNER.verifier == VERIFIER


@pytest.mark.parametrize("size", range(16))
def test_every_golden_checkpoint_is_reproduced_byte_for_byte(size: int) -> None:
    root = tree_root([leaf_hash(entry) for entry in ENTRIES[:size]])
    assert root == decode_base64(ROOTS_AND_SIGNATURES[size][0])
    checkpoint = Checkpoint(VERIFIER.name, size, root)
    assert sign_checkpoint(checkpoint, SIGNER) == golden_note(size)
    assert open_checkpoint(golden_note(size), VERIFIER) == checkpoint
    if VECTORS.is_dir():
        assert (VECTORS / f"checkpoint.{size}").read_bytes() == golden_note(size)


def test_appending_entry_by_entry_gives_every_golden_file_and_no_other(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    with Log.open(directory, SIGNER) as log:
        assert log.checkpoint_note == golden_note(0)
        for number, entry in enumerate(ENTRIES, 1):
            log.append([entry])
            assert log.checkpoint_note == (directory / "checkpoint").read_bytes() == golden_note(number)
    ours = files_under(directory)
    tiles = sorted((path, data) for path, data in ours.items() if path != "checkpoint")
    listing = "".join(f"{path} {sha256(data).hexdigest()}\n" for path, data in tiles)
    assert sha256(listing.encode()).hexdigest() == TILES_DIGEST
    if VECTORS.is_dir():
        theirs = files_under(VECTORS)
        assert ours == {path: data for path, data in theirs.items() if not path.startswith("checkpoint.")}


def test_the_offline_reader_accepts_the_golden_log(tmp_path: Path) -> None:
    directory = VECTORS
    if not VECTORS.is_dir():
        directory = tmp_path / "log"
        with Log.open(directory, SIGNER) as log:
            for entry in ENTRIES:
                log.append([entry])
    reader = LogReader(directory, VERIFIER)
    assert reader.full_check().size == 15
    assert tuple(reader.entries()) == ENTRIES
