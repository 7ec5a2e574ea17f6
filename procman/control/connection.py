"""One client of the control socket: its request, and the answer, each bounded in bytes."""

import socket

from procman.control.protocol import REQUEST_LIMIT, BadRequest, Message, decode_request, encode, refusal
from procman.typed import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from procman.control.server import ControlServer

OUTBOX_LIMIT = 8 << 20  # bytes a client may leave unread


class Connection:
    """Whoever handles its request answers with ``send`` and ``finish``, now or later."""

    def __init__(self, server: "ControlServer", peer: socket.socket) -> None:
        self._server = server
        self._peer = peer
        self._inbox = b""
        self._outbox = bytearray()
        self._asked = False  # from here on the time is the supervisor's
        self._closing = False
        self._writing = False
        self._held = False  # not read, until whoever takes its bytes has room again
        self.closed = False
        self.request: Message | None = None
        self.resumed = False  # another server was asked, and has answered in part
        self.on_bytes: Callable[[bytes], None] | None = None  # raw input, once a terminal is attached
        self.on_taken: Callable[[], None] | None = None  # the client was behind, and is no more
        self.on_close: Callable[[], None] | None = None

    @property
    def closing(self) -> bool:
        """Its answer is whole, and only to be read."""
        return self._closing

    @property
    def behind(self) -> bool:
        """The client has not taken all that was sent."""
        return self._writing

    def send(self, message: Message) -> None:
        """One more line of the answer."""
        self.write(encode(message))

    def finish(self, message: Message | None = None) -> None:
        """The last line of the answer, if there is still one to say; then the connection ends."""
        self._asked = self._closing = True
        if message is not None:
            self.send(message)
        self._flush()
        if not self.closed:
            self._server.hurry(self)  # to read it

    def expire(self) -> None:
        """The client has had its time, to ask or to read the answer."""
        if self._closing:
            self.close()
        else:
            self.finish(refusal("cannot wait any longer for the request"))

    def write(self, data: bytes) -> None:
        """Raw bytes. A client that leaves too much unread is let go."""
        if self.closed or not data:
            return
        self._outbox += data
        if len(self._outbox) > OUTBOX_LIMIT:
            self.close()
        else:
            self._flush()

    def hold(self, held: bool) -> None:
        """Read nothing more from the client, or go on. Its end is not noticed meanwhile."""
        if held == self._held or self.closed:
            return
        self._held = held
        if held and not self._writing:
            self._server.loop.unwatch(self._peer.fileno())
        elif not self._writing:
            self._server.loop.watch(self._peer.fileno(), self.readable)

    def close(self) -> None:
        """Let the client go."""
        if self.closed:
            return
        self.closed = True
        if self._writing or not self._held:
            self._server.loop.unwatch(self._peer.fileno())
        self._server.forget(self)
        self._peer.close()
        if self.on_close:
            self.on_close()

    def readable(self) -> None:
        """Bytes have come, or the client has gone."""
        try:
            data = self._peer.recv(REQUEST_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif self.on_bytes:
            self.on_bytes(data)
        elif self._asked:
            return  # words behind the request: nobody asked for them
        else:
            self._inbox += data
            self._take_request()

    def _take_request(self) -> None:
        line, newline, _ = self._inbox.partition(b"\n")
        if not newline:
            if len(self._inbox) >= REQUEST_LIMIT:
                self.finish(refusal(f"cannot read the request: over {REQUEST_LIMIT} bytes"))
            return
        self._asked = True
        self._server.relieve(self)
        self._inbox = b""
        try:
            request = decode_request(line)
        except BadRequest as error:
            self.finish(refusal(str(error)))
            return
        self.request = request
        self._server.handle(request, self)

    def pack(self) -> dict[str, Any]:
        """What another server has to know to go on with the client."""
        unsent, inbox = self._outbox.hex(), self._inbox.hex()
        return {"fd": self._peer.fileno(), "request": self.request, "unsent": unsent, "inbox": inbox}

    def unpack(self, row: dict[str, Any]) -> None:
        """Go on: the request, if it is whole, is still to be served; what was not sent comes first."""
        self.request = row["request"]
        if self.request is None:
            self._inbox = bytes.fromhex(row["inbox"])
            self._server.hurry(self)
            return
        self._asked = self.resumed = True
        self.write(bytes.fromhex(row["unsent"]))

    def _flush(self) -> None:
        while self._outbox and not self.closed:
            try:
                sent = self._peer.send(self._outbox)
            except BlockingIOError:
                break
            except OSError:
                self.close()
                return
            del self._outbox[:sent]
        if self.closed:
            return
        if self._closing and not self._outbox:
            self.close()
        elif bool(self._outbox) != self._writing:
            # Who does not read is not read either: a descriptor is watched for one thing at a time.
            if self._writing or not self._held:
                self._server.loop.unwatch(self._peer.fileno())
            self._writing = bool(self._outbox)
            if self._writing or not self._held:
                callback = self._flush if self._writing else self.readable
                self._server.loop.watch(self._peer.fileno(), callback, self._writing)
            if not self._writing and self.on_taken:
                self.on_taken()
