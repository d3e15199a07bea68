"""Evaluates Erlang inside a broker's node, at a thousandth of what `rabbitmqctl eval` costs.

`rabbitmqctl` starts a virtual machine for each question: most of a second of processor time. So
one question of its kind leaves a listener on loopback in the node, which answers all others.
"""

import socket
import struct
from collections.abc import Callable

LISTENER = """
Asker = self(),
spawn(fun() ->
    {ok, Listening} = gen_tcp:listen(
        0, [binary, {packet, 4}, {active, false}, {backlog, 64}, {ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listening),
    Asker ! {listens_at, Port},
    Evaluate = fun(Code) ->
        {ok, Tokens, _} = erl_scan:string(unicode:characters_to_list(Code)),
        {ok, Expressions} = erl_parse:parse_exprs(Tokens),
        {value, Value, _} = erl_eval:exprs(Expressions, erl_eval:new_bindings()),
        Value
    end,
    Answer = fun(Line) ->
        {ok, Code} = gen_tcp:recv(Line, 0),
        Told = try {good, Evaluate(Code)} catch _:Error -> {bad, Error} end,
        gen_tcp:send(Line, unicode:characters_to_binary(io_lib:format("~tp", [Told]))),
        gen_tcp:close(Line)
    end,
    Accept = fun Next() ->
        {ok, Line} = gen_tcp:accept(Listening),
        spawn(fun() -> Answer(Line) end),
        Next()
    end,
    Accept()
end),
receive {listens_at, Port} -> Port after 5000 -> exit(no_port) end.
"""
_LENGTH = struct.Struct(">I")


class EvaluationError(RuntimeError):
    """The node could not evaluate what it was given; the text is its own."""


class Evaluator:
    """Asks one node; `plant` runs `rabbitmqctl eval`, and is used once in the node's life."""

    def __init__(self, plant: Callable[[str], str]) -> None:
        """Plant nothing until the first question."""
        self._plant = plant
        self._port: int | None = None

    def forget(self) -> None:
        """Note that the node has ended, and the listener with it."""
        self._port = None

    def ask(self, code: str, timeout: float) -> str:
        """Return the value of some expressions as Erlang prints it.

        Raises EvaluationError, OSError when nobody listens any more, and what `plant` raises.
        """
        if self._port is None:
            self._port = int(self._plant(LISTENER))
        told = _exchange(self._port, code, timeout).strip()
        if not told.startswith("{good,"):
            raise EvaluationError(told)
        return told.removeprefix("{good,").removesuffix("}").strip()


def _exchange(port: int, code: str, timeout: float) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as line:
        question = code.encode()
        line.sendall(_LENGTH.pack(len(question)) + question)
        with line.makefile("rb") as answer:
            head = answer.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                raise ConnectionError("the node has hung up")
            return answer.read(*_LENGTH.unpack(head)).decode()
