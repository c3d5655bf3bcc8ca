#!/usr/bin/env escript
%% BERT-RPC by what Erlang has of its own: {packet, 4} and the external term format.
%%
%%     client.escript ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
%%     client.escript more ADDRESS CASE...
-mode(compile).

main(["more", Address | Names]) ->
    lists:foreach(fun(Name) ->
        Socket = open(Address, ""),
        try_case(list_to_atom(Name), Socket),
        close(Socket)
    end, Names);
main([Address, Token, Authority, Kind, Function, Text, Timeout]) ->
    Socket = open(Address, Authority),
    Token =:= "" orelse say(Socket, {info, katamari, [{token, list_to_binary(Token)}]}),
    Timeout =:= "null" orelse
        say(Socket, {info, katamari, [{timeout_ms, list_to_integer(Timeout)}]}),
    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
    {ok, Arguments} = erl_parse:parse_term(Tokens),
    say(Socket, {call, list_to_atom(Kind), list_to_atom(Function), Arguments}),
    ok = io:setopts([{encoding, latin1}]),
    case hear(Socket) of
        {reply, Result} ->
            io:format("{\"result\": ~s}~n", [json(Result)]);
        {info, stream, []} ->
            {reply, []} = hear(Socket),
            io:format("{\"result\": ~s}~n", [json(pieces(Socket))]);
        {error, {Type, Code, _, _, _}} ->
            io:format("{\"error\": \"~s ~b\"}~n", [Type, Code])
    end.

json(Number) when is_integer(Number) -> integer_to_list(Number);
json(Text) when is_binary(Text) -> [$", Text, $"];
json(List) when is_list(List) -> [$[, lists:join($,, [json(Each) || Each <- List]), $]].

open(Address, Authority) ->
    [Host, Port] = string:split(Address, ":"),
    Options = [binary, {packet, 4}, {active, false}],
    {ok, Opened} = case Authority of
        "" ->
            gen_tcp:connect(Host, list_to_integer(Port), Options);
        _ ->
            {ok, _} = application:ensure_all_started(ssl),
            Trust = [{verify, verify_peer}, {cacertfile, Authority}],
            {ok, Ip} = inet:parse_address(Host),
            ssl:connect(Ip, list_to_integer(Port), Trust ++ Options)
    end,
    Opened.

%% One of TLS is a record.
is_plain(Socket) -> is_port(Socket).

close(Socket) -> gen_tcp:close(Socket).

send(Socket, Bytes) ->
    ok = case is_plain(Socket) of
        true -> gen_tcp:send(Socket, Bytes);
        false -> ssl:send(Socket, Bytes)
    end.

say(Socket, Term) -> send(Socket, term_to_binary(Term)).

frame(Socket) ->
    {ok, Bytes} = case is_plain(Socket) of
        true -> gen_tcp:recv(Socket, 0, 60000);
        false -> ssl:recv(Socket, 0, 60000)
    end,
    Bytes.

pieces(Socket) ->
    case frame(Socket) of
        <<>> -> [];
        Piece -> [binary_to_term(Piece) | pieces(Socket)]
    end.

hear(Socket) -> binary_to_term(frame(Socket)).

ask(Socket, Function, Arguments) ->
    say(Socket, {call, conform, Function, Arguments}),
    hear(Socket).

try_case(values, Socket) ->
    {reply, 5} = ask(Socket, add, [2, 3]),
    Dict = {bert, dict, [{<<"k">>, [{bert, nil}, {bert, true}, 1.5]}]},
    {reply, Dict} = ask(Socket, same, [Dict]),
    Big = 123456789012345678901234567890,
    {reply, Big} = ask(Socket, same, [Big]),
    %% Maps and atoms are taken, and come back as what BERT has for them.
    {reply, {bert, dict, [{<<"k">>, <<"v">>}]}} = ask(Socket, same, [#{k => v}]),
    {error, {user, 0, <<"ValueError">>, Detail, Backtrace}} = ask(Socket, fail, [<<"why">>]),
    {_, _} = binary:match(Detail, <<"why">>),
    true = length(Backtrace) > 1 andalso lists:all(fun is_binary/1, Backtrace);
try_case(by_name, Socket) ->
    {reply, 6} = ask(Socket, add, {bert, dict, [{a, 1}, {b, 2}, {c, 3}]});
try_case(many, Socket) ->
    Numbers = lists:seq(1, 50),
    [say(Socket, {call, conform, same, [N]}) || N <- Numbers],
    [{reply, N} = hear(Socket) || N <- Numbers];
try_case(malformed, Socket) ->
    send(Socket, <<"nonsense">>),
    {error, {protocol, 2, _, _, _}} = hear(Socket),
    {reply, 1} = ask(Socket, same, [1]);
try_case(cast, Socket) ->
    say(Socket, {cast, conform, same, [1]}),
    {noreply} = hear(Socket);
try_case(cache, Socket) ->
    say(Socket, {info, cache, []}),
    say(Socket, {call, conform, same, [7]}),
    {info, cache, [{access, private}, {validation, Token}]} = hear(Socket),
    {reply, 7} = hear(Socket),
    say(Socket, {info, cache, [{validation, Token}]}),
    say(Socket, {call, conform, same, [7]}),
    {info, valid, []} = hear(Socket),
    {noreply} = hear(Socket);
try_case(streamed, Socket) ->
    Bytes = binary:copy(<<255, "123456789">>, 10000),
    say(Socket, {info, stream, []}),
    say(Socket, {call, conform, same, []}),
    [ok = gen_tcp:send(Socket, Chunk) || Chunk <- [<<"first">>, Bytes, <<>>]],
    Whole = <<"first", Bytes/binary>>,
    {reply, Whole} = hear(Socket);
try_case(large, Socket) ->
    Text = binary:copy(<<"x">>, 3000000),
    {reply, Text} = ask(Socket, same, [Text]),
    ok = gen_tcp:send(Socket, term_to_binary({call, conform, same, [Text]}, [compressed])),
    {reply, Text} = hear(Socket).
