"""Evaluates Erlang inside a broker's node, at a thousandth of what `rabbitmqctl eval` costs.

`rabbitmqctl` starts a virtual machine for each question: most of a second of processor time. So
the node starts with a listener on loopback, which answers all questions.
"""

import socket
import struct
from pathlib import Path

FILE = "listener.erl"
LISTENER = """
spawn(fun() ->
    {{ok, Listening}} = gen_tcp:listen({port}, [
        binary, {{packet, 4}}, {{active, false}}, {{backlog, 64}}, {{reuseaddr, true}},
        {{ip, {{127, 0, 0, 1}}}}]),
    Evaluate = fun(Code) ->
        {{ok, Tokens, _}} = erl_scan:string(unicode:characters_to_list(Code)),
        {{ok, Expressions}} = erl_parse:parse_exprs(Tokens),
        {{value, Value, _}} = erl_eval:exprs(Expressions, erl_eval:new_bindings()),
        Value
    end,
    Answer = fun(Line) ->
        {{ok, Code}} = gen_tcp:recv(Line, 0),
        Told = try {{good, Evaluate(Code)}} catch _:Error -> {{bad, Error}} end,
        gen_tcp:send(Line, unicode:characters_to_binary(io_lib:format("~tp", [Told]))),
        gen_tcp:close(Line)
    end,
    Accept = fun Next() ->
        {{ok, Line}} = gen_tcp:accept(Listening),
        spawn(fun() -> Answer(Line) end),
        Next()
    end,
    Accept()
end).
"""
_LENGTH = struct.Struct(">I")


class EvaluationError(RuntimeError):
    """The node could not evaluate what it was given; the text is its own."""


def listener(folder: Path, inside: Path, port: int) -> str:
    """Write the listener's code into a folder; return the argument that has a node run it.

    `inside`: the folder as the node sees it.
    """
    (folder / FILE).write_text(LISTENER.format(port=port))
    # Without a space: the script that starts the node cuts its arguments there.
    return f'-eval file:eval("{inside / FILE}")'


def ask(port: int, code: str, timeout: float) -> str:
    """Return the value of some expressions as Erlang prints it.

    Raises EvaluationError, and OSError when nobody listens.
    """
    told = _exchange(port, code, timeout).strip()
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
