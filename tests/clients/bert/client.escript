#!/usr/bin/env escript
%% BERT-RPC by what Erlang has of its own: {packet, 4} and the external term format.
-mode(compile).

main([Host, Port]) ->
    put(address, {Host, list_to_integer(Port)}),
    Cases = [{call, fun call/1}, {by_name, fun by_name/1}, {many, fun many/1},
             {error, fun error/1}, {unknown, fun unknown/1}, {deadline, fun deadline/1},
             {cast, fun cast/1}, {cache, fun cache/1}, {stream, fun stream/1},
             {streamed, fun streamed/1}, {large, fun large/1}, {cancel, fun cancel/1}],
    lists:foreach(fun({Name, Case}) ->
        Socket = open(),
        Case(Socket),
        gen_tcp:close(Socket),
        io:format("  ok ~s~n", [Name])
    end, Cases).

open() ->
    {Host, Port} = get(address),
    {ok, Socket} = gen_tcp:connect(Host, Port, [binary, {packet, 4}, {active, false}]),
    Socket.

say(Socket, Term) -> ok = gen_tcp:send(Socket, term_to_binary(Term)).

frame(Socket) ->
    {ok, Bytes} = gen_tcp:recv(Socket, 0, 30000),
    Bytes.

hear(Socket) -> binary_to_term(frame(Socket)).

ask(Socket, Function, Arguments) ->
    say(Socket, {call, conformance, Function, Arguments}),
    hear(Socket).

call(Socket) ->
    {reply, 5} = ask(Socket, add, [2, 3]),
    Dict = {bert, dict, [{<<"k">>, [{bert, nil}, {bert, true}, 1.5]}]},
    {reply, Dict} = ask(Socket, echo, [Dict]),
    Big = 123456789012345678901234567890,
    {reply, Big} = ask(Socket, echo, [Big]),
    %% Maps and atoms are taken, and come back as what BERT has for them.
    {reply, {bert, dict, [{<<"k">>, <<"v">>}]}} = ask(Socket, echo, [#{k => v}]).

by_name(Socket) ->
    {reply, 6} = ask(Socket, add, {bert, dict, [{a, 1}, {b, 2}, {c, 3}]}).

many(Socket) ->
    Numbers = lists:seq(1, 50),
    [say(Socket, {call, conformance, echo, [N]}) || N <- Numbers],
    [{reply, N} = hear(Socket) || N <- Numbers].

error(Socket) ->
    {error, {user, 0, <<"RuntimeError">>, Detail, Backtrace}} = ask(Socket, fail, [<<"why">>]),
    {_, _} = binary:match(Detail, <<"why">>),
    true = length(Backtrace) > 1 andalso lists:all(fun is_binary/1, Backtrace).

unknown(Socket) ->
    say(Socket, {call, nobody, echo, []}),
    {error, {server, 1, <<"no_pool">>, _, _}} = hear(Socket),
    {error, {server, 2, <<"no_function">>, _, _}} = ask(Socket, nothing, []),
    {error, {server, 100, <<"bad_arguments">>, _, _}} = ask(Socket, add, [1]),
    ok = gen_tcp:send(Socket, <<"nonsense">>),
    {error, {protocol, 2, _, _, _}} = hear(Socket).

deadline(Socket) ->
    say(Socket, {info, katamari, [{timeout_ms, 100}]}),
    {error, {server, 103, <<"deadline">>, _, _}} = ask(Socket, sleep, [60000]).

cast(Socket) ->
    say(Socket, {cast, conformance, echo, [1]}),
    {noreply} = hear(Socket).

cache(Socket) ->
    say(Socket, {info, cache, []}),
    say(Socket, {call, conformance, echo, [7]}),
    {info, cache, [{access, private}, {validation, Token}]} = hear(Socket),
    {reply, 7} = hear(Socket),
    say(Socket, {info, cache, [{validation, Token}]}),
    say(Socket, {call, conformance, echo, [7]}),
    {info, valid, []} = hear(Socket),
    {noreply} = hear(Socket).

stream(Socket) ->
    {info, stream, []} = ask(Socket, count, [3, 0]),
    {reply, []} = hear(Socket),
    [1, 2, 3] = [hear(Socket) || _ <- [1, 2, 3]],
    <<>> = frame(Socket).

streamed(Socket) ->
    Bytes = binary:copy(<<255, "123456789">>, 10000),
    say(Socket, {info, stream, []}),
    say(Socket, {call, conformance, echo, []}),
    [ok = gen_tcp:send(Socket, Chunk) || Chunk <- [<<"first">>, Bytes, <<>>]],
    Whole = <<"first", Bytes/binary>>,
    {reply, Whole} = hear(Socket).

large(Socket) ->
    Text = binary:copy(<<"x">>, 3000000),
    {reply, Text} = ask(Socket, echo, [Text]),
    ok = gen_tcp:send(Socket, term_to_binary({call, conformance, echo, [Text]}, [compressed])),
    {reply, Text} = hear(Socket).

cancel(Socket) ->
    say(Socket, {call, conformance, sleep, [600000]}),
    io:format("waiting~n"),
    eof = io:get_line("").
