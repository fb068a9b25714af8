"""One table for the texts of many journals: the same text has the same number everywhere."""

import numpy as np
import numpy.typing as npt


class Texts:
    """Numbers texts in the order in which they come. Owned by who reads the journals."""

    def __init__(self) -> None:
        """Start with the empty text as number 0."""
        self._numbers: dict[str, int] = {"": 0}
        self._last: tuple[tuple[str, ...], npt.NDArray[np.uint32]] = (), np.empty(0, np.uint32)

    def numbers(self, texts: tuple[str, ...]) -> npt.NDArray[np.uint32]:
        """Return the number of each text; read it only."""
        if texts != self._last[0]:  # one journal's texts are mostly those of the journal before it
            table = self._numbers
            self._last = texts, np.array([table.setdefault(text, len(table)) for text in texts], np.uint32)
        return self._last[1]

    def texts(self) -> list[str]:
        """Return the texts in the order of their numbers."""
        return list(self._numbers)

    def ranks(self) -> npt.NDArray[np.int64]:
        """Return by number the place of each text in the order of their UTF-8 bytes, whatever order they came in."""
        texts = self.texts()
        ranks = np.empty(len(texts), np.int64)
        ranks[sorted(range(len(texts)), key=lambda number: texts[number].encode())] = np.arange(len(texts))
        return ranks
