"""Requests of which two readers might think differently: refused, or told to the dyno in one way only."""

import asyncio

import pytest

from tests.router_harness import CALM, NAMES, PROGRAMS, Town, run, site, values

HOST = "Host: demo.localhost"
CHUNKED = "Transfer-Encoding: chunked"

# Head and body as they are sent, and the status that comes.
REFUSED = {
    "an empty length": (["POST /head HTTP/1.1", HOST, "Content-Length:"], "", 400),
    "a length in hexadecimal": (["POST /head HTTP/1.1", HOST, "Content-Length: 0x3"], "abc", 400),
    "a length beyond all numbers": (["POST /head HTTP/1.1", HOST, f"Content-Length: {'9' * 30}"], "", 400),
    "a length and another one": (["POST /head HTTP/1.1", HOST, "Content-Length: 0", "Content-Length: 3"], "abc", 400),
    "chunked twice": (["POST /upload HTTP/1.1", HOST, CHUNKED, CHUNKED], "0\r\n\r\n", 400),
    "a coding before chunked": (["POST /upload HTTP/1.1", HOST, "Transfer-Encoding: gzip, chunked"], "0\r\n\r\n", 422),
    "a coding after a tab": (["POST /head HTTP/1.1", HOST, "Transfer-Encoding: \x0bchunked"], "0\r\n\r\n", 400),
    "a space before the colon": (["POST / HTTP/1.1", HOST, "Transfer-Encoding : chunked"], "0\r\n\r\n", 400),
    "a chunk of no size": (["POST /upload HTTP/1.1", HOST, CHUNKED], "zz\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk of less than nothing": (["POST /upload HTTP/1.1", HOST, CHUNKED], "-1\r\nabc\r\n0\r\n\r\n", 400),
    "a chunk that is too long": (["POST /upload HTTP/1.1", HOST, CHUNKED], "3\r\nabcd\r\n0\r\n\r\n", 400),
    "a chunk beyond all numbers": (["POST /upload HTTP/1.1", HOST, CHUNKED], f"{'f' * 17}\r\nabc\r\n0\r\n\r\n", 400),
    "a carriage return alone": (["GET /head HTTP/1.1", HOST, "X: a\rY: b"], "", 400),
    "NUL in a name": (["GET /head HTTP/1.1", HOST, "X\0: a"], "", 400),
    "NUL in the path": (["GET /\0 HTTP/1.1", HOST], "", 400),
    "a request for another host than its Host": (["GET http://other.localhost/ HTTP/1.1", HOST], "", 400),
    "the same the other way": (["GET http://demo.localhost/ HTTP/1.1", "Host: other.localhost"], "", 400),
    "a user before the host": (["GET http://demo.localhost@other.localhost/ HTTP/1.1", HOST], "", 400),
    "a user in Host": (["GET / HTTP/1.1", "Host: x@demo.localhost"], "", 400),
    "a method that is none": (["G@T / HTTP/1.1", HOST], "", 400),
    "a path that never ends": (["GET /" + "a" * 40_000 + " HTTP/1.1", HOST], "", 400),
    "a request of HTTP/0.9": (["GET /"], "", 400),
}

# Head and body as they are sent, and a line that the dyno sees; of no other length or coding it is told.
UNITED = {
    "a length and chunks": (["POST /head HTTP/1.1", HOST, "Content-Length: 4", CHUNKED], "0\r\n\r\n", CHUNKED),
    "chunks and a length": (["POST /head HTTP/1.1", HOST, CHUNKED, "Content-Length: 4"], "0\r\n\r\n", CHUNKED),
    "a folded coding": (["POST /head HTTP/1.1", HOST, "Content-Length: 4", "Transfer-Encoding:", " chunked"],
                        "0\r\n\r\n", CHUNKED),
    "the same length twice": (["POST /head HTTP/1.1", HOST, *["Content-Length: 0"] * 2], "", "Content-Length: 0"),
    "the same length in a list": (["POST /head HTTP/1.1", HOST, "Content-Length: 0, 0"], "", "Content-Length: 0"),
    "a folded line": (["GET /head HTTP/1.1", HOST, "X: a", " Content-Length: 4"], "", "X: a   Content-Length: 4"),
    "the same host twice": (["GET /head HTTP/1.1", HOST, HOST], "", HOST),
}


@pytest.fixture(params=PROGRAMS, ids=NAMES)
def haproxy(request):
    return request.param


def raw(lines: list[str], body: str) -> bytes:
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


def test_what_could_be_read_in_two_ways_is_refused(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            for name, (lines, body, status) in REFUSED.items():
                client = await town.client()
                await client.send(raw(lines, body))
                answer = await client.answer()
                assert (name, answer.status) == (name, status)
                assert b"HTTP/1.1" not in answer.body, "the dyno shows heads that it has got"
                client.close()

    run(scenario())


def test_what_is_let_through_has_one_length_and_one_host(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            for name, (lines, body, wanted) in UNITED.items():
                client = await town.client()
                await client.send(raw(lines, body))
                answer = await client.answer()
                assert (name, answer.status) == (name, 200)
                seen = answer.body.decode().lower().split("\r\n")
                telling = [line for line in seen if line.startswith(("content-length:", "transfer-encoding:"))]
                assert telling in ([], [wanted.lower()]), name
                assert wanted.lower() in seen, name
                assert sum(line.startswith("host:") for line in seen) == 1
                client.close()

    run(scenario())


def test_a_bad_chunk_that_comes_late_is_the_clients_error_and_not_the_dynos(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            client = await town.client()
            await client.send(raw(["POST /hold?late HTTP/1.1", HOST, CHUNKED], "3\r\nabc\r\n"))
            assert await town.dynos[0].line() == "holds late"
            await client.send(b"zz\r\nabc\r\n0\r\n\r\n")
            assert (await client.answer()).status == 400
            line = await town.line("late")
            assert line.startswith('at=error code=H26 desc="Request Error" cause="bad chunk" method=POST path="/hold?')
            assert " dyno=web.1 " in line and " status=400 bytes= protocol=http" in line

    run(scenario())


def test_request_ids_of_which_there_are_several_are_all_replaced_by_one(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy) as town:
            await town.router.apply([site(await town.server())])
            ids = [f"X-Request-Id: {letter * 20}" for letter in "abc"]
            answer = await town.get("/head?ids", headers=ids)
            (seen,) = [line for line in answer.body.decode().lower().split("\r\n") if line.startswith("x-request-id:")]
            assert "aaaa" not in seen and "bbbb" not in seen and "cccc" not in seen
            assert values(await town.line("ids"))["request_id"] == seen.partition(": ")[2]

    run(scenario())


def test_many_slow_heads_cost_nobody_else_a_request(tmp_path, haproxy):
    async def scenario():
        async with Town(tmp_path, haproxy, timeouts=CALM._replace(head=2)) as town:
            await town.router.apply([site(await town.server())])
            slow = [await town.client() for _ in range(200)]
            for client in slow:
                await client.send(b"GET / HTTP/1.1\r\nHost: demo.localhost\r\nX: ")
            for _ in range(20):
                assert (await town.get()).status == 200
            answers = await asyncio.gather(*(client.answer() for client in slow))
            assert {answer.status for answer in answers} == {408}

    run(scenario())
