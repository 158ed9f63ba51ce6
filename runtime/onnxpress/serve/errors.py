"""Why a request is refused before any model sees it, and what the client may do then.

OnnxpressError
└── RequestError          400  the request is none that this server answers
    ├── NoKey             401  no API key, or one that is not known
    ├── WrongHost         421  a name that this server does not listen on
    ├── UnknownModel      404  no such model
    ├── ForeignPage       403  a page of another origin
    ├── UnknownRoute      404  no such address
    ├── WrongMethod       405  the address is asked otherwise
    ├── TooLarge          413  more bytes, texts or tokens than are taken at once
    ├── WrongMediaType    415  a body of a kind that is not read here
    ├── Overloaded        429  enough work waits; `retry_after_s` says for how long
    └── NotReady          503  the model is still being loaded, or the server is going down
"""

from __future__ import annotations

from onnxpress.errors import OnnxpressError


class RequestError(OnnxpressError):
    """The request is none that this server answers.

    Attributes:
        code: what OpenAI's clients are told, beside the message.
        retry_after_s: seconds after which to ask again; None: the same request will not be answered then either.
    """

    status = 400
    code: str | None = None
    retry_after_s: float | None = None

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.retry_after_s = retry_after_s


class NoKey(RequestError):  # noqa: N818
    """No API key, or one that is not known."""

    status = 401
    code = "invalid_api_key"


class ForeignPage(RequestError):  # noqa: N818
    """A page of another origin asks through its reader's browser."""

    status = 403


class WrongHost(RequestError):  # noqa: N818
    """A name that a server on the loopback interface does not answer to."""

    status = 421


class UnknownModel(RequestError):  # noqa: N818
    """No such model."""

    status = 404
    code = "model_not_found"


class UnknownRoute(RequestError):  # noqa: N818
    """No such address, or not with this method."""

    status = 404


class WrongMethod(RequestError):  # noqa: N818
    """The address is asked with another method."""

    status = 405


class TooLarge(RequestError):  # noqa: N818
    """More than is taken at once; the message has the counts."""

    status = 413


class WrongMediaType(RequestError):  # noqa: N818
    """A body of a kind that is not read here."""

    status = 415


class Overloaded(RequestError):  # noqa: N818
    """Enough work is waiting."""

    status = 429
    code = "rate_limit_exceeded"


class NotReady(RequestError):  # noqa: N818
    """The model is being loaded, could not be loaded, or the server is going down."""

    status = 503
